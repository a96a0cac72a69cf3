import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { RecordedCli } from "./recorded-cli.ts";

/** What every group of commands stands on. */
export interface Ground {
  /** With the one daemon that all of them share. */
  readonly cli: RecordedCli;
  /** What tells which model there is. */
  readonly modelEnv: Readonly<Record<string, string>>;
  /** An empty directory, or one with these files. */
  folder(files?: Readonly<Record<string, string>>): Promise<string>;
}

export async function makeFolder(root: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const path = await mkdtemp(join(root, "folder-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text);
  }
  return path;
}

export const agentYaml = (name: string, more = ""): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${name} }\nspec:\n  instructions: You do what you are told.\n${more}`;

/** Ids that nothing has. */
export const nobody = {
  execution: "aex-01jcz4m9n00000000000000000",
  session: "ses-01jcz4m9n00000000000000000",
} as const;

/** The model of all groups. */
export const scenario = `name: the command line
scenarios:
  - name: ships what a person lets it ship
    match: { human: Ship }
    turns:
      - toolCalls: [{ name: execute, args: { command: echo shipped } }]
      - text: 'I was told: {{ result("execute", "shipped|refused|skipped") }}.'
  - name: heard more on the way
    match: { human: And hurry }
    turns: [{ text: I hurried. }]
  - name: waits in its workspace
    match: { firstHuman: Wait }
    turns:
      - toolCalls: [{ name: execute, args: { command: "touch waiting; while [ ! -e go ]; do sleep 0.05; done" } }]
      - text: I waited.
  - name: greets
    turns: [{ text: Good day. }]
`;
