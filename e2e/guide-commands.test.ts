import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runGuide } from "./guide-commands.ts";
import type { LocalPlatform } from "./stigmer.ts";

// What makes a guide wrong. Its shell needs a home, no daemon.

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-guide-"));
});
afterEach(() => rm(home, { recursive: true }));

async function run(...lines: string[]): Promise<string[]> {
  const guide = join(home, "guide.md");
  await writeFile(guide, lines.join("\n"));
  const platform = { home, modelEnv: {} } as unknown as LocalPlatform;
  return (await runGuide({ guide, platform, timeoutMs: 5_000 })).map(({ line, output }) => `${line}: ${output.trim()}`);
}

it("runs what is for readers, in one shell", async () => {
  const outputs = await run(
    "# Guide",
    "```sh",
    "mkdir made; cd made",
    "x=1",
    "```",
    '```yaml title="sub/a.yaml"',
    "a: 'b'",
    "```",
    "```console",
    "exit 1",
    "```",
    "And:",
    "```sh",
    "cat sub/a.yaml; echo $x $(basename $PWD)",
    "echo to stderr >&2",
    "```",
    "",
    "```text",
    "a: 'b'",
    "1 m…e",
    "…",
    "```",
    "```sh fails",
    "false",
    "echo not reached",
    "```",
  );
  expect(outputs).toEqual(["2: ", "13: a: 'b'\n1 made\nto stderr", "23: "]);
});

it("ends what was left in the background", async () => {
  // It would hold the output open for an hour.
  expect(await run("```sh", "sleep 3600 &", "echo on", "```")).toEqual(["1: on"]);
});

it.each([
  ["a command that fails", ["```sh", "echo before; false", "echo after", "```"], /guide\.md:1: .*code 1:\nbefore\n$/],
  ["a pipe that fails", ["", "```sh", "false | cat", "```"], /guide\.md:2: .*code 1/],
  ["a failure that does not come", ["```sh fails", "true", "```"], /it was to fail/],
  [
    "another output",
    ["```sh", "echo a; echo b", "```", "```text", "a", "```"],
    /should print\n\na\n\nbut printed\n\na\nb/,
  ],
  ["an output that is no pattern", ["```sh", "echo ab", "```", "```text", "a.", "```"], /should print/],
  ["commands that do not end", ["```sh", "sleep 60", "```"], /guide\.md:1: not done/],
  ["no commands", ["```console", "ls", "```"], /no ```sh block/],
])("tells %s, and where", async (_, lines, message) => {
  await expect(run(...lines)).rejects.toThrow(message);
});
