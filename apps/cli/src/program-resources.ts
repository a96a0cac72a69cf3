import type { Command as Program } from "commander";
import { collect, kindArgument, outputOption, type Run } from "./program-options.ts";

/** Declares what is done with resources of every kind. */
export function addResourceCommands(program: Program, run: Run): void {
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
}
