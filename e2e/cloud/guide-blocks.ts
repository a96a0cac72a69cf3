// The blocks of a guide that only a whole installation can run: a test takes them from the guide, as they stand.
import { execa } from "execa";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repository } from "../stigmer.ts";

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

/** Runs a block as its reader would, in `folder`, where `stigmer` is that of this source. Throws what it printed when it fails. */
export async function runBlock(
  block: GuideBlock | undefined,
  options: {
    readonly folder: string;
    readonly env: Readonly<Record<string, string>>;
    /** More folders with programs. */
    readonly path?: readonly string[];
  },
): Promise<string> {
  if (!block) throw new Error("The guide has no such block.");
  const { folder, env, path = [] } = options;
  const bin = join(folder, "guide-bin");
  await mkdir(bin, { recursive: true });
  for (const [name, main] of Object.entries(PROGRAMS)) {
    const command = `${process.execPath} --conditions=@stigmer/source ${join(repository, main)}`;
    await writeFile(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`);
    await chmod(join(bin, name), 0o755);
  }
  const { all, exitCode } = await execa("bash", ["-euo", "pipefail", "-c", block.text], {
    cwd: folder,
    env: { ...env, HOME: folder, PATH: [bin, ...path, process.env["PATH"]].join(":") },
    extendEnv: false,
    stdin: "ignore",
    reject: false,
    all: true,
  });
  if (exitCode !== 0) throw new Error(`The guide's block at line ${block.line} ended with ${exitCode}:\n${all}`);
  return all;
}

const PROGRAMS = { stigmer: "apps/cli/src/main.ts", "stigmer-agent-runner": "apps/agent-runner/src/main.ts" };
