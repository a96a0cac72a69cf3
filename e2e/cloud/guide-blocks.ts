// The blocks of a guide that only a whole installation can run: a test takes them from the guide, as they stand.
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repository, start, type Started } from "../stigmer.ts";

export interface GuideBlock {
  /** The heading above it. */
  readonly section: string;
  readonly language: string;
  readonly text: string;
  /** In the guide, counted from 1. */
  readonly line: number;
}

export async function readGuide(name: string): Promise<GuideBlock[]> {
  const guide = await readFile(join(repository, `docs/guides/${name}.md`), "utf8");
  return [...guide.matchAll(/^(?<indent> *)```(?<language>[^\n`]*)\n(?<text>.*?)^\k<indent>```$/gms)].map((match) => {
    const { indent = "", language = "", text = "" } = match.groups ?? {};
    const before = guide.slice(0, match.index);
    return {
      section: /.*^## (?<section>[^\n]+)/ms.exec(before)?.groups?.["section"] ?? "",
      language,
      text: text.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      line: before.split("\n").length,
    };
  });
}

export interface BlockOptions {
  /** Where it is run, with `stigmer` and `stigmer-agent-runner` of this source. */
  readonly folder: string;
  /** All that is in the environment but for the programs' folders and a home. */
  readonly env: Readonly<Record<string, string>>;
  /** What the reader puts in the place of examples: values of the variables that the block exports, and paths. */
  readonly values?: Readonly<Record<string, string>>;
  /** More folders with programs. */
  readonly path?: readonly string[];
}

/** Runs a block as its reader would. Answers what it printed, and throws that when it fails. */
export async function runBlock(block: GuideBlock | undefined, options: BlockOptions): Promise<string> {
  const { output, result } = await startBlock(block, options);
  const { exitCode } = await result;
  if (exitCode !== 0) throw new Error(`The guide's block at line ${block?.line} ended with ${exitCode}:\n${output()}`);
  return output();
}

/** Begins a block whose last command goes on until it is stopped. */
export async function startBlock(block: GuideBlock | undefined, options: BlockOptions): Promise<Started> {
  if (!block) throw new Error("The guide has no such block.");
  const { folder, env, values = {}, path = [] } = options;
  const bin = join(folder, "guide-bin");
  await mkdir(bin, { recursive: true });
  for (const [name, main] of Object.entries(PROGRAMS)) {
    const command = `${process.execPath} --conditions=@stigmer/source ${join(repository, main)}`;
    await writeFile(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`);
    await chmod(join(bin, name), 0o755);
  }
  return start(["-euo", "pipefail", "-c", filledIn(block.text, values)], {
    program: ["bash"],
    cwd: folder,
    env: { HOME: folder, ...env, PATH: [bin, ...path, process.env["PATH"]].join(":") },
  });
}

/** Throws where something that the reader would have to fill in stays. */
function filledIn(text: string, values: Readonly<Record<string, string>>): string {
  let filled = text;
  for (const [example, value] of Object.entries(values)) {
    const isVariable = /^[A-Z_]+$/.test(example);
    const place = isVariable ? new RegExp(`\\b${example}=\\S+`, "g") : example;
    filled = filled.replaceAll(place, () => (isVariable ? `${example}='${value}'` : value));
  }
  if (filled.includes("…")) throw new Error(`Nobody said what stands for … in:\n${filled}`);
  return filled;
}

const PROGRAMS = { stigmer: "apps/cli/src/main.ts", "stigmer-agent-runner": "apps/agent-runner/src/main.ts" };
