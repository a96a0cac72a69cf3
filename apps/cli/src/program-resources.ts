import { type Command as Program, Option } from "commander";
import { addNewCommands } from "./program-new.ts";
import { collect, kindArgument, outputOption, type Run } from "./program-options.ts";

/** Declares what is done with resources of every kind. */
export function addResourceCommands(program: Program, run: Run): void {
  addManifestCommands(program, run);
  program
    .command("get")
    .description("show the resources of a kind, or one of them")
    .addArgument(kindArgument())
    .argument("[name]", "name or id")
    .addOption(outputOption())
    .addOption(selectorOption())
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
    .addOption(selectorOption())
    .action((kind, options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind, ...options },
      ),
    );
  program
    .command("describe")
    .description("show one resource for people: what it is made of, what belongs to it, its latest runs")
    .addArgument(kindArgument())
    .argument("<name>", "name or id")
    .action((kind, nameOrId) =>
      run(
        import("./commands/describe/describe.ts").then((m) => m.describe),
        { kind, nameOrId },
      ),
    );
  program
    .command("edit")
    .description("change a resource in your editor ($VISUAL, else $EDITOR, else vi)")
    .addArgument(kindArgument())
    .argument("<name>", "name or id")
    .action((kind, nameOrId) =>
      run(
        import("./commands/edit/edit.ts").then((m) => m.edit),
        { kind, nameOrId },
      ),
    );
  program
    .command("delete")
    .description("delete resources")
    .argument("[kind]", "agent, instance, session, execution, skill, environment or mcpserver")
    .argument("[names...]", "names or ids")
    .option("-f, --file <path>", "those of the manifests in a file, a folder, or - for standard input", collect)
    .option("--ignore-not-found", "what is not there is as good as deleted")
    .option("--force", "take along what depends on it, such as an agent's instances, sessions and runs")
    .action((kind, names, options) =>
      run(
        import("./commands/delete.ts").then((m) => m.deleteResources),
        { kind, names, ...options },
      ),
    );
  addNewCommands(program, run);
}

function addManifestCommands(program: Program, run: Run): void {
  program
    .command("apply")
    .description("create or update what manifests describe; nothing is sent when one of them is wrong")
    .addOption(fileOption())
    .option("--dry-run", "compare with the server's state, say what would happen, and change nothing")
    .addOption(setOption("mark what is applied as the set of this name (a label)"))
    .option("--prune", "with --set: delete what an earlier apply of the set made and no manifest describes any more")
    .option("--yes", "ask nobody before something is deleted")
    .action((options) =>
      run(
        import("./commands/apply/apply.ts").then((m) => m.apply),
        options,
      ),
    );
  program
    .command("diff")
    .description("show what apply would change")
    .addOption(fileOption())
    .addOption(setOption("as it would be given to apply"))
    .addHelpText("after", "\nExit code: 0 nothing, 1 something, 2 it could not be told.")
    .action((options) =>
      run(
        import("./commands/diff.ts").then((m) => m.diff),
        options,
      ),
    );
  program
    .command("validate")
    .description("check manifests, without a server")
    .addOption(fileOption())
    .addOption(new Option("-o, --output <format>", "how to tell").choices(["text", "json"]).default("text"))
    .action((options) =>
      run(
        import("./commands/validate.ts").then((m) => m.validate),
        options,
      ),
    );
}

function fileOption(): Option {
  return new Option("-f, --file <path>", "a file, a folder, or - for standard input; may be repeated")
    .argParser<string[]>(collect)
    .makeOptionMandatory();
}

function setOption(description: string): Option {
  return new Option("--set <name>", description);
}

function selectorOption(): Option {
  return new Option(
    "-l, --selector <label=value>",
    "only what carries this label; may be repeated, or several with commas",
  ).argParser<string[]>(collect);
}
