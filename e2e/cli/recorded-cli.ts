// The real `stigmer`, and what of it was run: which of its commands did what they are for, and which refused what is wrong.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { repository, type Result, type StartOptions, type Started } from "../stigmer.ts";

/** Every command that people can give, as `session show`, from what its declarations are written to. */
export async function listCommands(): Promise<string[]> {
  const reference = await readFile(join(repository, "docs/reference/cli.md"), "utf8");
  const paths = [...reference.matchAll(/^## stigmer (?<path>[a-z][a-z -]*)$/gm)].map(
    ({ groups }) => groups?.["path"] ?? "",
  );
  // What stands before another one's words is a group.
  return paths.filter((path) => !paths.some((other) => other.startsWith(`${path} `)));
}

/** What runs `stigmer`. */
export interface Runs {
  stigmer(args: readonly string[], options?: StartOptions): Promise<Result>;
  start(args: readonly string[], options?: StartOptions): Started;
}

export interface Works extends StartOptions {
  /** Default: 0. */
  readonly exitCode?: number;
  /** Of what it prints to stdout. */
  readonly prints: string | RegExp;
  /** Of what it tells on stderr. */
  readonly tells?: string | RegExp;
}

export interface Fails extends StartOptions {
  /** Default: 1. */
  readonly exitCode?: 1 | 2;
  /** Of the one line. */
  readonly says: string | RegExp;
}

export interface RecordedCli {
  /** Runs what has to do its work; answers what it printed to stdout. */
  works(args: readonly string[], expected: Works): Promise<string>;
  /** Runs what has to be refused, with one clear line and nothing else. */
  fails(args: readonly string[], expected: Fails): Promise<void>;
  /** Starts what goes on until `check` has seen enough of it; it has to end well then. */
  lasts(args: readonly string[], check: (started: Started) => Promise<void>, options?: StartOptions): Promise<void>;
  /** The same record, with commands that are run elsewhere. */
  on(runs: Runs): RecordedCli;
  /** The commands that never did it. */
  missing(what: "works" | "fails"): string[];
}

/** `commands` are those that have to come up. */
export function recordCli(runs: Runs, commands: readonly string[]): RecordedCli {
  const seen = { works: new Set<string>(), fails: new Set<string>() };
  const note = (what: "works" | "fails", args: readonly string[]): void => {
    const line = `${args.join(" ")} `;
    const command = commands.find((each) => line.startsWith(`${each} `));
    if (command === undefined) throw new Error(`docs/reference/cli.md has no command that "stigmer ${line}" could be`);
    seen[what].add(command);
  };
  const on = (there: Runs): RecordedCli => ({
    async works(args, { exitCode = 0, prints, tells = "", ...options }) {
      const result = await there.stigmer(args, options);
      expect(result, toText(args, result)).toMatchObject({ exitCode });
      expect(result.stdout, toText(args, result)).toMatch(prints);
      expect(result.stderr, toText(args, result)).toMatch(tells);
      note("works", args);
      return result.stdout;
    },
    async fails(args, { exitCode = 1, says, ...options }) {
      const result = await there.stigmer(args, options);
      expect(result, toText(args, result)).toEqual({
        exitCode,
        stdout: "",
        stderr: expect.stringMatching(/^\S[^\n]{10,400}\n$/) as string,
      });
      expect(result.stderr).toMatch(says);
      expect(result.stderr).not.toMatch(/\n\s+at |node:internal|\[object|undefined|stigmer itself failed/);
      note("fails", args);
    },
    async lasts(args, check, options) {
      const started = there.start(args, options);
      await check(started).finally(() => {
        if (started.process.pid !== undefined && started.process.exitCode === null)
          process.kill(started.process.pid, "SIGINT");
      });
      const result = await started.result;
      expect(result, toText(args, result)).toMatchObject({ exitCode: 0 });
      note("works", args);
    },
    on,
    missing: (what) => commands.filter((command) => !seen[what].has(command)),
  });
  return on(runs);
}

function toText(args: readonly string[], { exitCode, stdout, stderr }: Result): string {
  return `stigmer ${args.join(" ")} ended with ${exitCode}:\n${stdout}${stderr}`;
}
