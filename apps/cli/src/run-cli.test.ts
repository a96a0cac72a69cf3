import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { CommandIo } from "./command-io.ts";
import { runCli } from "./run-cli.ts";

async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const stdout = new PassThrough().on("data", (chunk) => (written.out += String(chunk)));
  const stderr = new PassThrough().on("data", (chunk) => (written.err += String(chunk)));
  const io: CommandIo = { stdin: new PassThrough(), stdout, stderr, env: {}, cwd: "/", onSignal: () => () => {} };
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
    "option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are table, yaml, json. See `stigmer get --help`.",
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

test("help goes to stdout, also when nothing was asked for", async () => {
  const { code, out, err } = await cli();
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toContain("Usage: stigmer");
  expect(out).not.toContain("internal");
  expect((await cli("--help")).out).toBe(out);
});
