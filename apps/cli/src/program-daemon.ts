import { type Command as Program, Option } from "commander";
import { parseCount, portOption, type Run } from "./program-options.ts";
import { addRunnerOptions } from "./program-runner.ts";

/** Declares how the platform is run on this machine, and the server by itself. */
export function addLocalCommands(program: Program, run: Run): { readonly server: Program } {
  const local = program.command("local").description("the server and the runner on this machine");
  const server = program.command("server").description("the same as `local`, and the server in the foreground");
  for (const group of [local, server]) addDaemonCommands(group, run);
  addMachineCommands(program, local, run);
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
  return { server };
}

function addDaemonCommands(group: Program, run: Run): void {
  const add = (name: string, description: string): Program => group.command(name).description(description);
  addRunnerOptions(add("start", "start the server and the runner in the background"))
    .addOption(portOption())
    .addOption(engineOption())
    .option("--yes", "fetch what --engine temporal lacks without asking")
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
    .addOption(engineOption())
    .action((options) =>
      run(
        import("./commands/local/restart.ts").then((m) => m.localRestart),
        options,
      ),
    );
  add("logs", "show what the processes logged")
    .argument("[component]", "stigmer-server, agent-runner, temporal or daemon; all of them without")
    .option("-f, --follow", "go on with what comes")
    .addOption(new Option("-n, --tail <lines>", "only the last so many lines").argParser(parseCount))
    .action((component, options) =>
      run(
        import("./commands/local/logs.ts").then((m) => m.localLogs),
        { component, ...options },
      ),
    );
}

function engineOption(): Option {
  const option = new Option(
    "--engine <engine>",
    "what keeps runs: the server itself, or a Temporal dev server of its own",
  );
  return option.choices(["embedded", "temporal"]);
}

/** Declares what is only said of this machine. */
function addMachineCommands(program: Program, local: Program, run: Run): void {
  local
    .command("reset")
    .description("delete all resources, runs, logs and the workspaces that Stigmer made")
    .option("--yes", "don't ask")
    .option("--stop", "stop the daemon first, when one runs")
    .option("--all", "also config.yaml and downloaded programs")
    .action((options) =>
      run(
        import("./commands/reset/local-reset.ts").then((m) => m.localReset),
        options,
      ),
    );
  program
    .command("doctor")
    .description("check this machine, and say how to mend what is wrong; exit code 1 when something is")
    .option("--json", "as JSON")
    .option("--offline", "make no connection, and list those that would be made")
    .action((options) =>
      run(
        import("./commands/doctor/doctor.ts").then((m) => m.doctor),
        options,
      ),
    );
}

/** Declares what the daemon starts itself with. */
export function addSupervisor(program: Program, run: Run): void {
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
  internal
    .command("run-temporal")
    .argument("<program>")
    .addOption(portOption())
    .action((program, options) =>
      run(
        import("./commands/local/run-temporal.ts").then((m) => m.runTemporal),
        { program, ...options },
      ),
    );
  addRunnerOptions(internal.command("supervise"))
    .option("--temporal <program>")
    .addOption(portOption())
    .action((options) =>
      run(
        import("./commands/local/supervise.ts").then((m) => m.supervise),
        options,
      ),
    );
}
