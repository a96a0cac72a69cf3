import { type Command as Program, InvalidArgumentError, Option } from "commander";
import { addApprovalCommands } from "./program-approvals.ts";
import { collect, outputOption, type Run } from "./program-options.ts";

/** Declares how an agent is let to work, and what is done with its runs. */
export function addRunCommands(program: Program, run: Run): void {
  const command = declareRun(program.command("run"))
    .description("let an agent work, and watch it; Ctrl-C leaves it to itself, twice cancels it")
    .usage("<agent> <message> [options]\n       stigmer run --attach <id>")
    .argument("[agent]", "name or id")
    .argument("[message]", "what it is to do")
    .option("--attach <id>", "come back to a run that was left to itself, in place of starting one");
  command.action((agent: string | undefined, message: string | undefined, options: RunFlags) => {
    if (options.attach !== undefined) {
      const { attach: id, json, ...others } = options;
      if (agent !== undefined || isGiven(others)) {
        command.error("error: --attach goes on with a run as it was started: it takes no other option but --json");
      }
      return run(
        import("./commands/execution/execution.ts").then((m) => m.attachExecution),
        { id, json },
      );
    }
    if (agent === undefined || message === undefined) {
      return command.error(`error: missing required argument '${agent === undefined ? "agent" : "message"}'`);
    }
    return start(command, run, { ...options, agent, message });
  });
  addAgentExecute(program, run);
  addExecutionCommands(program, run);
}

/** The options of a run, as they are declared. */
interface RunFlags {
  readonly env: string[];
  readonly secret: string[];
  readonly limit: string[];
  readonly budget?: number;
  readonly session?: string;
  readonly workspace?: string;
  readonly attach?: string;
  readonly json?: boolean;
}

/** `agent execute`, the same under the name by which some know it. */
function addAgentExecute(program: Program, run: Run): void {
  const group = program.commands.find((command) => command.name() === "agent") ?? program.command("agent");
  if (group.description() === "") group.description("agents");
  const command = declareRun(group.command("execute"))
    .description("let an agent work, and watch it: the same as `stigmer run`")
    .argument("<agent>", "name or id")
    .argument("<message>", "what it is to do");
  command.action((agent: string, message: string, options: RunFlags) =>
    start(command, run, { ...options, agent, message }),
  );
}

function start(
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

function declareRun(command: Program): Program {
  return command
    .option("--workspace <dir>", "an existing directory to work in, as it is")
    .option("--env <name=value>", "a variable for this run; may be repeated", collect, [])
    .option("--secret <name>", "a secret variable, its value taken from this environment; may be repeated", collect, [])
    .option("--model <name>", "the model to use")
    .option("--session <id>", "a session to go on with")
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
function isGiven(options: object): boolean {
  return Object.values(options).some((value) => value !== undefined && !(Array.isArray(value) && value.length === 0));
}

function parseDollars(text: string): number {
  const dollars = Number(text.replace(/^\$/, ""));
  if (text.trim() !== "" && dollars > 0 && Number.isFinite(dollars)) return dollars;
  throw new InvalidArgumentError("It must be an amount above 0, such as 0.50.");
}

function addExecutionCommands(program: Program, run: Run): void {
  const group = program.command("execution").description("runs of agents");
  group
    .command("get")
    .description("show a run")
    .argument("<id>")
    .addOption(outputOption())
    .action((nameOrId, options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind: "execution", nameOrId, ...options },
      ),
    );
  group
    .command("list")
    .description("show all runs")
    .addOption(outputOption())
    .action((options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind: "execution", ...options },
      ),
    );
  group
    .command("watch")
    .description("follow a run from its beginning to its end")
    .argument("<id>")
    .option("--json", "as JSON, one object a line")
    .action((id, options) =>
      run(
        import("./commands/execution/execution.ts").then((m) => m.watchExecution),
        { id, ...options },
      ),
    );
  group
    .command("cancel")
    .description("ask a run to stop")
    .argument("<id>")
    .option("--reason <text>", "why, for the record")
    .action((id, options) =>
      run(
        import("./commands/execution/execution.ts").then((m) => m.cancelExecution),
        { id, ...options },
      ),
    );
  addApprovalCommands(group, run);
  group
    .command("pause")
    .description("ask a run to come to rest; what is under way is let to its end")
    .argument("<id>")
    .option("--reason <text>", "why, for the record")
    .action((id, options) =>
      run(
        import("./commands/execution/execution.ts").then((m) => m.pauseExecution),
        { id, ...options },
      ),
    );
  group
    .command("resume")
    .description("let a paused run go on")
    .argument("<id>")
    .action((id) =>
      run(
        import("./commands/execution/execution.ts").then((m) => m.resumeExecution),
        { id },
      ),
    );
  group
    .command("message")
    .description("say something to a run, which its agent hears before its next step")
    .argument("<id>")
    .argument("<text>", "what is said")
    .option("--message-id <id>", "names the message: sent again under the same name, it is heard once")
    .action((id, text, options) =>
      run(
        import("./commands/execution/execution.ts").then((m) => m.messageExecution),
        { id, text, ...options },
      ),
    );
}
