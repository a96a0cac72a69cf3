import type { Command as Program } from "commander";
import { collect, outputOption, type Run } from "./program-options.ts";
import { declareTurn, type RunFlags, sandboxOption } from "./program-turns.ts";

/** Declares what is done with conversations. */
export function addSessionCommands(program: Program, run: Run): void {
  const group = program.command("session").description("conversations with agents");
  group
    .command("list")
    .description("show all sessions")
    .addOption(outputOption())
    .action((options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind: "session", ...options },
      ),
    );
  group
    .command("show")
    .description("show what was said in a session, as Markdown")
    .argument("<id>")
    .action((id) =>
      run(
        import("./commands/session/show.ts").then((m) => m.showSession),
        { id },
      ),
    );
  declareTurn(group.command("continue"))
    .description("say something more in a session: a run that knows those before it")
    .argument("<id>")
    .argument("<message>", "what is said")
    .action((id: string, message: string, options: RunFlags) =>
      run(
        import("./commands/session/continue.ts").then((m) => m.continueSession),
        { ...options, id, message },
      ),
    );
  group
    .command("delete")
    .description("delete a session with its runs and its workspace; a directory of your own stays")
    .argument("<id>")
    .option("--yes", "don't ask")
    .action((id, options) =>
      run(
        import("./commands/session/delete.ts").then((m) => m.deleteSession),
        { id, ...options },
      ),
    );
  program
    .command("chat")
    .description("talk with an agent, turn by turn; /help tells what can be said to the chat itself")
    .argument("[agent]", "name or id; may be left out with --session")
    .option("--session <id>", "a session to go on with")
    .option("--workspace <dir>", "an existing directory to work in, as it is")
    .addOption(sandboxOption())
    .option("--env <name=value>", "a variable for each turn; may be repeated", collect, [])
    .option("--secret <name>", "a secret variable, its value taken from this environment; may be repeated", collect, [])
    .option("--model <name>", "the model to use")
    .action((agent, options: RunFlags, command: Program) => {
      if (agent === undefined && options.session === undefined) {
        command.error("error: say with whom: stigmer chat AGENT, or stigmer chat --session ID");
      }
      if (options.session !== undefined && options.workspace !== undefined) {
        command.error("error: --workspace can't be used with --session, which has a workspace already");
      }
      return run(
        import("./commands/chat/chat.ts").then((m) => m.chat),
        { agent, ...options },
      );
    });
}
