import { type Command as Program, CommanderError } from "commander";
import type { CommandIo } from "./command-io.ts";
import { CliError, exitCodes } from "./errors.ts";
import { createProgram } from "./program.ts";

/** Runs one command line (without `node` and the script) and answers the exit code. Never throws. */
export async function runCli(args: readonly string[], io: CommandIo): Promise<number> {
  let exitCode = 0;
  const program = createProgram({ io, onExitCode: (code) => (exitCode = code) });
  try {
    if (args[0] === "internal" && args[1] === "complete") {
      const { complete } = await import("./commands/completion/complete.ts");
      await complete({ program, words: args.slice(args[2] === "--" ? 3 : 2) }, io);
      return 0;
    }
    await program.parseAsync(args.length === 0 ? ["--help"] : args, { from: "user" });
    return exitCode;
  } catch (error) {
    const { code, message } = explainFailure(error, namedCommand(program, args));
    if (message !== "") io.stderr.write(`${message}\n`);
    if (message !== "" && isVerbose(args)) {
      const { showCauses } = await import("./output/show-causes.ts");
      io.stderr.write(showCauses(error, io.env));
    }
    return code;
  }
}

/** Asked of the words themselves: also a line that can't be parsed can be verbose. */
function isVerbose(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).includes("--verbose");
}

function explainFailure(error: unknown, command: string): { code: number; message: string } {
  if (CliError.is(error)) return { code: error.exitCode, message: error.message };
  if (error instanceof CommanderError) {
    // Help and version were asked for, and have been written.
    if (error.exitCode === 0) return { code: 0, message: "" };
    return { code: exitCodes.usage, message: explainUsage(error, command) };
  }
  const message = error instanceof Error ? error.message : String(error);
  // A mistake of ours says nothing to who meets it.
  if (!isProgrammingError(error)) return { code: exitCodes.failed, message };
  const advice = "run it again with --verbose, and report what it prints";
  return { code: exitCodes.failed, message: `stigmer itself failed (${message}): ${advice}` };
}

function isProgrammingError(error: unknown): boolean {
  return [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
}

/** Commander's words on one line, with where to read on. */
function explainUsage({ code, message }: CommanderError, command: string): string {
  const help = `See \`${command} --help\`.`;
  // A group without a command: commander would print its whole help.
  if (code === "commander.help") return `${command}: which command? ${help}`;
  const said = message
    .replace(/^error: /, "")
    .replace(/\s*\n\s*\(Did you mean ([^?]*)\?\)/, ": did you mean $1?")
    .replace(/\s*\n\s*/g, " ")
    .trim();
  return `${said}${/[.?]$/.test(said) ? "" : "."} ${help}`;
}

/** `stigmer local start`, of `local --json start extra`: as much of the line as names a command. */
function namedCommand(program: Program, args: readonly string[]): string {
  const names = [program.name()];
  let command: Program | undefined = program;
  for (const arg of args) {
    command = command.commands.find((candidate) => candidate.name() === arg);
    if (command === undefined) break;
    names.push(arg);
  }
  return names.join(" ");
}
