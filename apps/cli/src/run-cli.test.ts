import { PassThrough } from "node:stream";
import { readFile } from "node:fs/promises";
import type { Command as Program } from "commander";
import { expect, test } from "vitest";
import type { CommandIo } from "./command-io.ts";
import { exitCodeMeanings } from "./errors.ts";
import { createProgram } from "./program.ts";
import { runCli } from "./run-cli.ts";

type Word = string | { readonly env: Record<string, string> };

async function cli(...words: Word[]): Promise<{ code: number; out: string; err: string }> {
  const args = words.filter((word) => typeof word === "string");
  const { env } = words.find((word) => typeof word === "object") ?? { env: {} };
  const written = { out: "", err: "" };
  const stdout = new PassThrough().on("data", (chunk) => (written.out += String(chunk)));
  const stderr = new PassThrough().on("data", (chunk) => (written.err += String(chunk)));
  const io: CommandIo = { stdin: new PassThrough(), stdout, stderr, env, cwd: "/", onSignal: () => () => {} };
  const code = await runCli(args, io);
  return { code, ...written };
}

test.each<[line: string[], expected: string]>([
  [["aply"], "unknown command 'aply': did you mean apply? See `stigmer --help`."],
  [["frobnicate"], "unknown command 'frobnicate'. See `stigmer --help`."],
  [["local", "strat"], "unknown command 'strat': did you mean start? See `stigmer local --help`."],
  [["local"], "stigmer local: which command? See `stigmer local --help`."],
  [["run", "--jsn", "a", "b"], "unknown option '--jsn': did you mean --json? See `stigmer run --help`."],
  [["--verison"], "unknown option '--verison': did you mean --version? See `stigmer --help`."],
  [["run", "a"], "missing required argument 'message'. See `stigmer run --help`."],
  [["apply"], "required option '-f, --file <path>' not specified. See `stigmer apply --help`."],
  [
    ["get", "agents", "-o", "xml"],
    "option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are table, yaml, json, name. See `stigmer get --help`.",
  ],
  [
    ["local", "start", "--port", "70000"],
    "option '--port <port>' argument '70000' is invalid. It must be a number from 0 to 65535. See `stigmer local start --help`.",
  ],
  [
    ["list", "agents", "x"],
    "too many arguments for 'list'. Expected 1 argument but got 2: agents, x. See `stigmer list --help`.",
  ],
  [
    ["run", "a", "b", "--session", "s", "--workspace", "."],
    "--workspace can't be used with --session, which has a workspace already. See `stigmer run --help`.",
  ],
  [["get", "agnet"], "unknown kind 'agnet': did you mean agent?"],
  [
    ["delete", "pod", "x"],
    "unknown kind 'pod': the kinds are agent, instance, session, execution, skill, environment, mcpserver",
  ],
  [["run", "a", " "], "the message is empty: say what the agent is to do"],
  [["run", "a", "b", "--env", "K"], "--env K has no value: write --env K=VALUE"],
  [
    ["run", "a", "b", "--env", "2K=v"],
    '--env "2K" is not the name of a variable: letters, digits and _ only, no digit first',
  ],
  [["run", "a", "b", "--env", "K="], "--env K= is empty: give it a value, or leave it out"],
  [["run", "a", "b", "--secret", "K"], "--secret K: set K in the environment first"],
  [
    ["run", "a", "b", "--secret", "K=v"],
    "--secret takes a name alone, since others can read a command line: set K in the environment and write --secret K",
  ],
])("%j is refused in one line, with exit code 2", async (args, expected) => {
  expect(await cli(...args)).toEqual({ code: 2, out: "", err: `${expected}\n` });
});

test.each([["--version"], ["-V"], ["version"]])("%s prints the version", async (arg) => {
  const { code, out } = await cli(arg);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string });
});

test("help has groups, topics and examples that are as they stand", async () => {
  const { out } = await cli("help");
  const headings = out.split("\n").filter((line) => /^\S.*:$/.test(line));
  expect(headings).toEqual(expect.arrayContaining(["Start here:", "Resources:", "Operation:", "Help:", "Examples:"]));
  expect(headings.indexOf("Start here:")).toBeLessThan(headings.indexOf("Operation:"));
  expect((await cli("help", "exit-codes")).out).toMatch(/\n {4}2 {3}wrong usage\n[^]*\n {2}130 {3}Ctrl-C\n/);
  expect((await cli("help", "environment")).out).toMatch(/\n {2}STIGMER_HOME +The folder/);
  expect((await cli("help", "skill", "lock")).out).toBe((await cli("skill", "lock", "--help")).out);
  expect(await cli("help", "skil")).toEqual({
    code: 2,
    out: "",
    err: "there is no help for 'skil': did you mean skill?\n",
  });
});

/** All commands that people can see, by their words. */
function allCommands(): Map<string, Program> {
  const io: CommandIo = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    env: {},
    cwd: "/",
    onSignal: () => () => {},
  };
  const found = new Map<string, Program>();
  const visit = (command: Program, path: string): void => {
    found.set(path, command);
    for (const child of command.createHelp().visibleCommands(command)) visit(child, `${path} ${child.name()}`);
  };
  visit(createProgram({ io, onExitCode: () => {} }), "stigmer");
  return found;
}

test("every example names a command, and flags that it has", async () => {
  const commands = allCommands();
  const lines: string[] = [];
  for (const path of commands.keys()) {
    const { out } = await cli(...path.split(" ").slice(1), "--help");
    lines.push(...(out.split("Examples:\n")[1]?.split("\n\n")[0]?.split("\n") ?? []).filter((line) => line !== ""));
  }
  expect(lines.length).toBeGreaterThan(20);
  for (const line of lines) {
    const words =
      line
        .replace(/^.*?stigmer/, "stigmer")
        .split(/ [|>] /)[0]
        ?.split(" ") ?? [];
    const depth = words.findLastIndex((_, at) => commands.has(words.slice(0, at + 1).join(" ")));
    const command = commands.get(words.slice(0, depth + 1).join(" "));
    expect(command?.commands, line).toEqual([]);
    const known = command?.options.flatMap(({ long, short }) => [long, short]);
    for (const flag of words.filter((word) => /^--?[a-z]/.test(word))) expect(known, line).toContain(flag);
  }
});

test("every exit code is told as the README tells it", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const [code, meaning] of exitCodeMeanings) expect(readme).toContain(`| ${code} | ${meaning} |\n`);
});

test("--verbose tells what caused a failure, and no secret", async () => {
  const line = ["get", "agents"];
  const env = { STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1", STIGMER_API_KEY: "ECONNREFUSED" };
  const quiet = await cli(...line, { env });
  expect(quiet.err.split("\n")).toHaveLength(2);
  const { code, err } = await cli(...line, "--verbose", { env });
  expect(code).toBe(1);
  expect(err.startsWith(quiet.err)).toBe(true);
  expect(err).toMatch(
    /\nCaused by ClientError \(unavailable\): .*connect \*{8} 127\.0\.0\.1:1\n(Caused by .*\n)+ +at /,
  );
  expect(err).not.toContain("ECONNREFUSED");
});

test("help goes to stdout, also when nothing was asked for", async () => {
  const { code, out, err } = await cli();
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toContain("Usage: stigmer");
  expect(out).not.toContain("internal");
  expect((await cli("--help")).out).toBe(out);
});
