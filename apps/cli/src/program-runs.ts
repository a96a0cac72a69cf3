import { type Command as Program, Option } from "commander";
import { addApprovalCommands } from "./program-approvals.ts";
import { outputOption, type Run } from "./program-options.ts";
import { declareRun, isGiven, type RunFlags, start } from "./program-turns.ts";

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

function addExecutionCommands(program: Program, run: Run): void {
  const group = program.command("execution").description("runs of agents");
  group
    .command("get")
    .description("show a run")
    .argument("<id>")
    .addOption(outputOption())
    .action((id, options) =>
      run(
        import("./commands/execution/get-execution.ts").then((m) => m.getExecution),
        { id, ...options },
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
  group
    .command("logs")
    .description("what a run did, in the order of time: what was said, each tool call with arguments and result")
    .argument("<id>")
    .option("-f, --follow", "go on until it has ended")
    .action((id, options) =>
      run(
        import("./commands/execution/logs.ts").then((m) => m.executionLogs),
        { id, ...options },
      ),
    );
  group
    .command("trace")
    .description("the tree of a run: model calls, tool calls and sub-agents, with times, tokens and cost")
    .argument("<id>")
    .addOption(new Option("-o, --output <format>", "how to show it").choices(["text", "json"]).default("text"))
    .action((id, options) =>
      run(
        import("./commands/execution/trace.ts").then((m) => m.executionTrace),
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
