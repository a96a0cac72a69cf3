// Every command and flag. Bodies are imported when they run, so that `--version` and `--help` load nothing else.
import { Argument, Command as Program, InvalidArgumentError, Option } from "commander";
import type { Command, CommandIo } from "./command-io.ts";
import { addApprovalCommands } from "./program-approvals.ts";
import { addAuditCommands } from "./program-audit.ts";
import { addBackupCommands } from "./program-backup.ts";
import { addRunnerOptions } from "./program-runner.ts";
import { addKeyCommands } from "./program-keys.ts";
import { readVersion } from "./version.ts";

export interface ProgramOptions {
  readonly io: CommandIo;
  /** Told what a command returned. */
  readonly onExitCode: (code: number) => void;
}

/** Declares the command line. Nothing is printed or ended by itself: mistakes come as commander's errors. */
export function createProgram({ io, onExitCode }: ProgramOptions): Program {
  const run = async <Options>(load: Promise<Command<Options>>, options: Options): Promise<void> => {
    const command = await load;
    onExitCode((await command(options, io)) ?? 0);
  };

  const program = new Program("stigmer")
    .description("Runs AI agents durably, on your own machine or in your cloud.")
    .version(readVersion(), "-V, --version", "print the version")
    .helpCommand("help [command]", "show help")
    .exitOverride()
    .configureOutput({ writeOut: (text) => void io.stdout.write(text), writeErr: () => {}, outputError: () => {} })
    .addHelpText("after", "\nFirst steps: stigmer demo, then stigmer local start.");

  const local = program.command("local").description("the server and the runner on this machine");
  const server = program.command("server").description("the same as `local`, and the server in the foreground");
  for (const group of [local, server]) addDaemonCommands(group, run);
  server
    .command("run")
    .description("run stigmer-server in the foreground, until it is told to stop")
    .addOption(portOption())
    .option("--host <address>", "the address to listen on, with MODE=cloud (default: all of them)")
    .option("--tls-cert <file>", "the server's certificate chain (PEM), with MODE=cloud; read again when it changes")
    .option("--tls-key <file>", "the private key of that certificate (PEM)")
    .action((options) =>
      run(
        import("./commands/server-run.ts").then((m) => m.serverRun),
        options,
      ),
    );
  addBackupCommands(server, run);
  addKeyCommands(program, server, run);
  addAuditCommands(program, run);
  addSupervisor(program, run);

  program
    .command("apply")
    .description("create or update what manifests describe; nothing is sent when one of them is wrong")
    .requiredOption("-f, --file <path>", "a file, a folder, or - for standard input; may be repeated", collect)
    .action((options) =>
      run(
        import("./commands/apply/apply.ts").then((m) => m.apply),
        options,
      ),
    );
  program
    .command("get")
    .description("show the resources of a kind, or one of them")
    .addArgument(kindArgument())
    .argument("[name]", "name or id")
    .addOption(outputOption())
    .action((kind, nameOrId, options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind, nameOrId, ...options },
      ),
    );
  program
    .command("list")
    .description("show the resources of a kind")
    .addArgument(kindArgument())
    .addOption(outputOption())
    .action((kind, options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind, ...options },
      ),
    );
  program
    .command("delete")
    .description("delete a resource")
    .addArgument(kindArgument())
    .argument("<name>", "name or id")
    .action((kind, nameOrId) =>
      run(
        import("./commands/delete.ts").then((m) => m.deleteResource),
        { kind, nameOrId },
      ),
    );

  program
    .command("run")
    .description("let an agent work, and watch it; Ctrl-C leaves it to itself, twice cancels it")
    .argument("<agent>", "name or id")
    .argument("<message>", "what it is to do")
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
      new Option(
        "--on-unknown-outcome <who>",
        "who decides when a lost runner left nobody knowing whether a tool call happened (default: tell-agent)",
      ).choices(["tell-agent", "pause"]),
    )
    .option("--yes", "ask nobody: what would wait for approval runs; what is denied stays so")
    .option("--json", "print what happens as JSON, one object a line")
    .option("--detach", "print the run's id and return at once")
    .addHelpText("after", "\nExit code: 0 completed, 1 failed, 2 wrong usage, 3 cancelled, 4 waits for approval.")
    .action((agent, message, options: { session?: string; workspace?: string }, command: Program) => {
      if (options.session !== undefined && options.workspace !== undefined) {
        command.error("error: --workspace can't be used with --session, which has a workspace already");
      }
      return run(
        import("./commands/run/run.ts").then((m) => m.run),
        {
          ...(options as { env: string[]; secret: string[]; limit: string[] }),
          agent,
          message,
        },
      );
    });
  addExecutionCommands(program, run);
  addSkillCommands(program, run);

  addChaosCommands(program, run);

  program
    .command("demo")
    .description("let an agent repair a small project, with everything started and stopped for it")
    .action(() =>
      run(
        import("./commands/demo/demo.ts").then((m) => m.demo),
        {},
      ),
    );
  program
    .command("version")
    .description("print the version")
    .action(() => void io.stdout.write(`${readVersion()}\n`));
  return program;
}

type Run = <Options>(load: Promise<Command<Options>>, options: Options) => Promise<void>;

function addDaemonCommands(group: Program, run: Run): void {
  const add = (name: string, description: string): Program => group.command(name).description(description);
  addRunnerOptions(add("start", "start the server and the runner in the background"))
    .addOption(portOption())
    .option("--foreground", "stay, and stop them with Ctrl-C")
    .option("--json", "print the state as JSON")
    .action((options) =>
      run(
        import("./commands/local/start.ts").then((m) => m.localStart),
        options,
      ),
    );
  add("status", "show what runs; exit code 1 when nothing does")
    .option("--json", "as JSON")
    .action((options) =>
      run(
        import("./commands/local/status.ts").then((m) => m.localStatus),
        options,
      ),
    );
  add("stop", "stop everything").action((options) =>
    run(
      import("./commands/local/stop.ts").then((m) => m.localStop),
      options,
    ),
  );
  addRunnerOptions(add("restart", "stop, then start"))
    .addOption(portOption())
    .action((options) =>
      run(
        import("./commands/local/restart.ts").then((m) => m.localRestart),
        options,
      ),
    );
  add("logs", "show what the processes logged")
    .argument("[component]", "stigmer-server, agent-runner or daemon; all of them without")
    .option("-f, --follow", "go on with what comes")
    .action((component, options) =>
      run(
        import("./commands/local/logs.ts").then((m) => m.localLogs),
        { component, ...options },
      ),
    );
}

function addSupervisor(program: Program, run: Run): void {
  const internal = program.command("internal", { hidden: true });
  internal
    .command("run-container")
    .argument("<args...>")
    .action((args) =>
      run(
        import("./commands/local/run-container.ts").then((m) => m.runContainer),
        { args },
      ),
    );
  addRunnerOptions(internal.command("supervise"))
    .addOption(portOption())
    .action((options) =>
      run(
        import("./commands/local/supervise.ts").then((m) => m.supervise),
        options,
      ),
    );
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

function addSkillCommands(program: Program, run: Run): void {
  program
    .command("skill")
    .description("what agents know how to do")
    .command("push")
    .description("make a version of a skill")
    .argument("<path>", "a folder with SKILL.md in it, a Markdown file, or a zip")
    .option("--tag <name>", "a name for this version, taken from the version that had it")
    .option("--org <name>", "the organization that owns the skill (default: your own)")
    .option("--json", "print the version as JSON")
    .action((path, options) =>
      run(
        import("./commands/skill-push.ts").then((m) => m.skillPush),
        { path, ...options },
      ),
    );
}

function addChaosCommands(program: Program, run: Run): void {
  program
    .command("chaos")
    .description("prove that an agent's runs survive")
    .command("run")
    .description(
      "run an agent, then again for each of its durable points, with a process killed there; tell every difference",
    )
    .argument("<agent>", "manifests, or the name or id of an agent on the running server")
    .argument("<message>", "what it is to do")
    .addOption(
      new Option("--victims <list>", "what to kill: runner, server, engine")
        .default(["runner", "server"], "runner,server")
        .argParser(parseVictims),
    )
    .addOption(
      new Option("--engine <engine>", "the engine of the platforms")
        .choices(["embedded", "temporal"])
        .default("embedded"),
    )
    .option("--scenario <file>", "let a scripted model speak, which says the same each time")
    .addOption(
      new Option("--points <n>", "so many repetitions at most, spread evenly (default: all)").argParser(parseCount),
    )
    .option("--workspace <dir>", "a directory of which each run gets a copy to work in")
    .option("--temporal <path>", "Temporal's command line (default: temporal on PATH)")
    .addOption(new Option("--jobs <n>", "so many platforms at a time").default(2).argParser(parseCount))
    .option("--json", "print what happens as JSON, one object a line")
    .addHelpText("after", "\nExit code: 0 nothing differed, 1 something did. Needs no running server.")
    .action((agent, message, options) =>
      run(
        import("./commands/chaos/chaos.ts").then((m) => m.chaos),
        { ...options, agent, message },
      ),
    );
}

function parseVictims(text: string): ("runner" | "server" | "engine")[] {
  return text.split(",").map((name) => {
    const victim = name.trim();
    if (victim === "runner" || victim === "server" || victim === "engine") return victim;
    throw new InvalidArgumentError("Victims are runner, server and engine, with commas between them.");
  });
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

function kindArgument(): Argument {
  return new Argument("<kind>", "agent, instance, session, execution, skill, environment or mcpserver");
}

function outputOption(): Option {
  return new Option("-o, --output <format>", "how to show it").choices(["table", "yaml", "json"]).default("table");
}

function portOption(): Option {
  return new Option("--port <port>", "the server's port, 0 for any free one (default: 50051)").argParser(parsePort);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
