import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** What makes shells know commands, flags and names. */
export const shells = ["bash", "zsh", "fish"] as const;

/** Declares the scripts for shells. What they call back is no command: its words are not for commander to read. */
export function addCompletionCommands(program: Program, run: Run): void {
  const group = program.command("completion").description("let a shell complete commands, flags and names");
  for (const shell of shells) {
    group
      .command(shell)
      .description(`print the script for ${shell}`)
      .action(() =>
        run(
          import("./commands/completion/print-script.ts").then((m) => m.printScript),
          { shell },
        ),
      );
  }
}
