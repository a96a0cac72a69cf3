// The options of everything that starts a run.
import { type Command as Program, InvalidArgumentError, Option } from "commander";
import { collect, type Run } from "./program-options.ts";
import type { SandboxName } from "./resources/sandbox-type.ts";

/** The options of a run, as they are declared. */
export interface RunFlags {
  readonly env: string[];
  readonly secret: string[];
  readonly limit: string[];
  readonly budget?: number;
  readonly session?: string;
  readonly workspace?: string;
  readonly sandbox?: SandboxName;
  readonly attach?: string;
  readonly json?: boolean;
}

/** Starts a run with what was declared. */
export function start(
  command: Program,
  run: Run,
  options: RunFlags & { readonly agent: string; readonly message: string },
): Promise<void> {
  if (options.session !== undefined && options.workspace !== undefined) {
    command.error("error: --workspace can't be used with --session, which has a workspace already");
  }
  return run(
    import("./commands/run/run.ts").then((m) => m.run),
    options,
  );
}

export function declareRun(command: Program): Program {
  return declareTurn(command)
    .option("--workspace <dir>", "an existing directory to work in, as it is")
    .addOption(sandboxOption())
    .option("--session <id>", "a session to go on with");
}

/** Where the agent of a new session works. */
export function sandboxOption(): Option {
  const names: SandboxName[] = ["filesystem", "isolated", "docker", "daytona"];
  return new Option("--sandbox <type>", "the kind of sandbox of a new session (default: the runner's)").choices(names);
}

/** As `declareRun`, where the session is known. */
export function declareTurn(command: Program): Program {
  return command
    .option("--env <name=value>", "a variable for this run; may be repeated", collect, [])
    .option("--secret <name>", "a secret variable, its value taken from this environment; may be repeated", collect, [])
    .option("--model <name>", "the model to use")
    .addOption(
      new Option("--when-busy <what>", "what happens when a run of the session is under way (default: queue)").choices([
        "queue",
        "steer",
        "interrupt",
        "refuse",
      ]),
    )
    .option("--limit <name=value>", "what this run may use, such as maxToolCalls=20; may be repeated", collect, [])
    .addOption(
      new Option("--budget <usd>", "what this run may cost, in US dollars: short for --limit maxCostUsd=…").argParser(
        parseDollars,
      ),
    )
    .addOption(
      new Option(
        "--on-unknown-outcome <who>",
        "who decides when a lost runner left nobody knowing whether a tool call happened (default: tell-agent)",
      ).choices(["tell-agent", "pause"]),
    )
    .option("--yes", "ask nobody: what would wait for approval runs; what is denied stays so")
    .option("--json", "print what happens as JSON, one object a line")
    .option("--detach", "print the run's id and return at once")
    .addHelpText("after", "\nExit code: 0 completed, 1 failed, 2 wrong usage, 3 cancelled, 4 waits for approval.");
}

/** Whether any option was given; those that may be repeated are there always. */
export function isGiven(options: object): boolean {
  return Object.values(options).some((value) => value !== undefined && !(Array.isArray(value) && value.length === 0));
}

function parseDollars(text: string): number {
  const dollars = Number(text.replace(/^\$/, ""));
  if (text.trim() !== "" && dollars > 0 && Number.isFinite(dollars)) return dollars;
  throw new InvalidArgumentError("It must be an amount above 0, such as 0.50.");
}
