// Runs the commands of a guide as a reader would: real `stigmer`, real daemon, real shell; only the model's words are scripted.
//
// To have a guide tested, write `docs/guides/NAME.md` and beside this file `guides/NAME.yaml`, the scenario of its model
// (packages/scripted-model/README.md). `guides.system.test.ts` finds both. The pages of `docs/` itself are run in the same way when
// they have commands. In the guide, from top to bottom:
//
//   ```sh                      is run by one bash for the whole guide, in an empty directory (so `cd` and variables last),
//                              and must succeed: every line of it, and every part of a pipe. `stigmer` is the one of this source.
//                              What it leaves in the background is ended with the guide.
//   ```sh fails                must fail; what it sets is forgotten.
//   ```text                    right after one of them: exactly what it prints, stdout and stderr together. `…` stands for
//                              anything in its line, and a line that is only `…` for any lines.
//   ```yaml title="agent.yaml" (any language): a file that the reader makes under that path before going on.
//
// Every other block is left alone: commands that are not for the test are ```console. A daemon with the scripted model runs
// already in a STIGMER_HOME of its own, so `stigmer local start` says just that. Keys and variables that the guide's
// commands need beside it go into `env`.
import type { ChildProcess } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type LocalPlatform, repository, start } from "./stigmer.ts";

export interface GuideOptions {
  /** The Markdown file. */
  readonly guide: string;
  readonly platform: Pick<LocalPlatform, "home" | "modelEnv">;
  /** Beside those that `stigmer` needs. */
  readonly env?: Readonly<Record<string, string>>;
  /** Folders that come first in PATH, one of which has a `stigmer`. Default: one with that of this source. */
  readonly path?: readonly string[];
  /** Where they are run. Default: an empty one, which is their home, too. */
  readonly directory?: string;
  /** For all commands together. Default 300,000: the machine may be busy. */
  readonly timeoutMs?: number;
}

/** What came of one block. */
export interface RanBlock {
  /** Where it begins in the guide, counted from 1. */
  readonly line: number;
  readonly output: string;
}

/** Throws with the line of the guide where it is not as it says. */
export async function runGuide(options: GuideOptions): Promise<RanBlock[]> {
  const { guide, platform, env, timeoutMs = 300_000 } = options;
  const blocks = readBlocks(await readFile(guide, "utf8"));
  const commands = blocks.filter(({ kind }) => kind === "sh" || kind === "fails");
  if (commands.length === 0) throw new Error(`${guide} has no \`\`\`sh block`);
  const path = options.path ?? [await makeShim(platform.home), dirname(process.execPath)];
  const home = join(platform.home, "guide");
  // A guide in two parts is run twice.
  await mkdir(home, { recursive: true });
  const shell = start(["-c", toScript(blocks)], {
    program: ["bash"],
    cwd: options.directory ?? home,
    env: {
      ...platform.modelEnv,
      HOME: home,
      STIGMER_HOME: platform.home,
      ...env,
      PATH: [...path, process.env["PATH"]].join(":"),
    },
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    endGroup(shell.process);
  }, timeoutMs);
  // Its output is held open by what it left in the background.
  shell.process.once("exit", () => endGroup(shell.process));
  const { exitCode, stdout } = await shell.result;
  clearTimeout(timer);

  const [preamble = "", ...outputs] = stdout.split(MARK);
  const ran = outputs.map((output, at) => ({ line: commands[at]?.line ?? 0, output: output.replace(/^\n/, "") }));
  const last = ran.at(-1) ?? { line: 0, output: preamble };
  if (isLate) throw new Error(`${guide}:${last.line}: not done after ${timeoutMs} ms:\n${last.output}`);
  if (exitCode !== 0) throw new Error(`${guide}:${last.line}: ended with exit code ${exitCode}:\n${last.output}`);
  for (const { line, expected } of blocks) {
    if (expected === undefined) continue;
    const block = ran.find((each) => each.line === line);
    if (block && !isAsExpected(block.output, expected))
      throw new Error(`${guide}:${line}: should print\n\n${expected}\nbut printed\n\n${block.output}`);
  }
  return ran;
}

/** The shell, and all that it started and did not wait for. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const MARK = "\u001eguide block";

interface Block {
  readonly kind: "sh" | "fails" | "file";
  readonly line: number;
  readonly text: string;
  /** Where a file goes. */
  readonly path?: string;
  /** What the commands print. */
  readonly expected?: string;
}

function readBlocks(markdown: string): Block[] {
  const blocks: Block[] = [];
  let end = -1;
  for (const match of markdown.matchAll(/^(?<fence>`{3,})(?<info>[^\n`]*)\n(?<text>.*?)^\k<fence>[ \t]*$/gms)) {
    const { info = "", text = "" } = match.groups ?? {};
    const between = end < 0 ? "" : markdown.slice(end, match.index);
    const path = /\btitle="(?<path>[^"]+)"/.exec(info)?.groups?.["path"];
    const before = blocks.at(-1);
    const line = markdown.slice(0, match.index).split("\n").length;
    end = match.index + match[0].length;
    if (path !== undefined) blocks.push({ kind: "file", line, text, path });
    else if (/^sh( fails)?$/.test(info.trim()))
      blocks.push({ kind: info.includes("fails") ? "fails" : "sh", line, text });
    else if (info.trim() === "text" && between.trim() === "" && before !== undefined && before.kind !== "file")
      blocks.splice(-1, 1, { ...before, expected: text });
    else end = -1;
  }
  return blocks;
}

function toScript(blocks: readonly Block[]): string {
  const lines = blocks.map(({ kind, text, path = "" }) => {
    if (kind === "file")
      return `mkdir -p ${quote(dirname(path))}\nbase64 -d > ${quote(path)} <<< ${Buffer.from(text).toString("base64")}`;
    const mark = `printf '%s\\n' ${quote(MARK)}`;
    if (kind === "sh") return `${mark}\n${text}`;
    // A condition would take `set -e` from the block.
    return `${mark}\nset +e; (\nset -e\n${text}\n); guide_code=$?; set -e\n[ $guide_code -ne 0 ] || { echo 'it was to fail'; exit 1; }`;
  });
  return `set -euo pipefail\nexec 2>&1\n${lines.join("\n")}\n`;
}

function isAsExpected(output: string, expected: string): boolean {
  const lines = expected.trimEnd().split("\n");
  const pattern = lines.map((line) =>
    line.trim() === "…" ? "(?:.*\n)*?" : `${line.trimEnd().split("…").map(escape).join(".*")}[ \t]*\n`,
  );
  return new RegExp(`^\n*${pattern.join("")}\n*$`).test(`${output.trimEnd()}\n`);
}

const escape = (text: string): string => text.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&");
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A `stigmer` on the PATH. */
async function makeShim(home: string): Promise<string> {
  const bin = join(home, "guide-bin");
  await mkdir(bin);
  const main = join(repository, "apps/cli/src/main.ts");
  const command = [process.execPath, "--conditions=@stigmer/source", main].map(quote).join(" ");
  await writeFile(join(bin, "stigmer"), `#!/bin/sh\nexec ${command} "$@"\n`);
  await chmod(join(bin, "stigmer"), 0o755);
  return bin;
}
