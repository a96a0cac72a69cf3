// Every command and flag. Bodies are imported when they run, so that `--version` and `--help` load nothing else.
import { Command as Program, Help, type Option } from "commander";
import type { CommandIo } from "./command-io.ts";
import { addAuditCommands } from "./program-audit.ts";
import { addBackupCommands } from "./program-backup.ts";
import { addChaosCommands } from "./program-chaos.ts";
import { addCompletionCommands } from "./program-completion.ts";
import { addConfigCommands } from "./program-config.ts";
import { addLocalCommands, addSupervisor } from "./program-daemon.ts";
import { addHelp } from "./program-help.ts";
import { addKeyCommands } from "./program-keys.ts";
import { addModelCommands } from "./program-models.ts";
import type { Run } from "./program-options.ts";
import { addResourceCommands } from "./program-resources.ts";
import { addRunCommands } from "./program-runs.ts";
import { addSessionCommands } from "./program-sessions.ts";
import { addSkillCommands } from "./program-skills.ts";
import { readVersion } from "./version.ts";

/** Of help that goes to no terminal. */
const PAGE_WIDTH = 100;

export interface ProgramOptions {
  readonly io: CommandIo;
  /** Told what a command returned. */
  readonly onExitCode: (code: number) => void;
}

/** Declares the command line. Nothing is printed or ended by itself: mistakes come as commander's errors. */
export function createProgram({ io, onExitCode }: ProgramOptions): Program {
  const run: Run = async (load, options) => {
    const command = await load;
    onExitCode((await command(options, io)) ?? 0);
  };

  const program = new Program("stigmer")
    .description("Runs AI agents durably, on your own machine or in your cloud.")
    .version(readVersion(), "-V, --version", "print the version")
    .helpCommand(false)
    .configureHelp({ subcommandTerm, optionDescription })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: () => {},
      outputError: () => {},
      // A terminal that has no size says 0.
      getOutHelpWidth: () => (io.stdout.isTTY ? io.stdout.columns || PAGE_WIDTH : PAGE_WIDTH),
    });

  const { server } = addLocalCommands(program, run);
  addConfigCommands(program, run);
  addModelCommands(program, run);
  addBackupCommands(server, run);
  addKeyCommands(program, server, run);
  addAuditCommands(program, run);
  addSupervisor(program, run);
  addResourceCommands(program, run);
  addRunCommands(program, run);
  addSessionCommands(program, run);
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
  addCompletionCommands(program, run);
  addHelp(program, run);
  return program;
}

/** As commander has it, without the empty list that what may be repeated begins with. */
function optionDescription(option: Option): string {
  return new Help().optionDescription(option).replace(" (default: [])", "");
}

/** A command in a list of them: the first list names it alone, so that there is room for what it is. */
function subcommandTerm(command: Program): string {
  if (command.parent?.parent === null) return command.name();
  const [usage = ""] = command.usage().split("\n");
  // Every command has flags: saying so of each tells nothing.
  return `${command.name()} ${usage.replace(/\[(options|command)\] ?/g, "")}`.trim();
}
