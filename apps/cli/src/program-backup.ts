import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** Declares how what the server keeps is saved and brought back. */
export function addBackupCommands(server: Program, run: Run): void {
  server
    .command("backup")
    .description("make one file of what the server keeps, also while it runs")
    .argument("<file>", "the file to make; it is for your eyes only")
    .option("--force", "replace a file that is there")
    .addHelpText(
      "after",
      "\nIn it: all resources, runs, skills and conversations, as they are at one moment. Not in it: the key of the secrets" +
        "\n(<data directory>/encryption.key), workspaces, long outputs of tools that were set aside, logs, config.yaml.",
    )
    .action((file, options) =>
      run(
        import("./commands/server-backup.ts").then((m) => m.serverBackup),
        { file, ...options },
      ),
    );
  server
    .command("restore")
    .description("make the data directory what it was when a backup was made; nothing may run in it")
    .argument("<file>", "what `stigmer server backup` made")
    .option("--force", "move what is in the data directory aside")
    .action((file, options) =>
      run(
        import("./commands/server-restore.ts").then((m) => m.serverRestore),
        { file, ...options },
      ),
    );
  server
    .command("end-runs")
    .description("end all runs in the database that the environment names, once it was restored; no server may use it")
    .addHelpText(
      "after",
      "\nA run that was under way when a backup was made would go on from there, and do again what it has done since. With this the" +
        "\nnext server to start cancels it instead, and tells whoever waits for it why. Its session stays, and takes the next message.",
    )
    .action((options) =>
      run(
        import("./commands/server-end-runs.ts").then((m) => m.serverEndRuns),
        options,
      ),
    );
}
