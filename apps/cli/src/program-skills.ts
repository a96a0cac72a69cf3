import type { Command as Program } from "commander";
import { Option } from "commander";
import { collect, outputOption, type Run } from "./program-options.ts";

const REFERENCE = "its name, as NAME, NAME@TAG or NAME@DIGEST";

/** Declares what is done with skills. */
export function addSkillCommands(program: Program, run: Run): void {
  const group = program.command("skill").description("what agents know how to do");
  group
    .command("push")
    .description("make a version of a skill")
    .argument("<path>", "a folder with SKILL.md in it, a Markdown file, or a zip")
    .option("--tag <name>", "a name for this version, taken from the version that had it")
    .option("--org <name>", "the organization that owns the skill (default: your own)")
    .option("--json", "print the version as JSON")
    .action((path, options) =>
      run(
        import("./commands/skill/push.ts").then((m) => m.skillPush),
        { path, ...options },
      ),
    );
  group
    .command("list")
    .description("show all skills, each in its newest version")
    .addOption(outputOption())
    .action((options) =>
      run(
        import("./commands/get.ts").then((m) => m.get),
        { kind: "skill", ...options },
      ),
    );
  group
    .command("show")
    .description("show what a skill says about itself, and its files")
    .argument("<skill>", REFERENCE)
    .option("--org <name>", "the organization that owns the skill (default: your own)")
    .addOption(new Option("-o, --output <format>", "how to show it").choices(["text", "json"]).default("text"))
    .action((skill, options) =>
      run(
        import("./commands/skill/show.ts").then((m) => m.skillShow),
        { skill, ...options },
      ),
    );
  group
    .command("pull")
    .description("make a folder of a skill, once its digest is proven")
    .argument("<skill>", REFERENCE)
    .argument("[folder]", "where to (default: a folder of the skill's name)")
    .option("--org <name>", "the organization that owns the skill (default: your own)")
    .option("--force", "replace a skill's folder that is there; what a push leaves out stays")
    .action((skill, folder, options) =>
      run(
        import("./commands/skill/pull.ts").then((m) => m.skillPull),
        { skill, folder, ...options },
      ),
    );
  addLocalCommands(group, run);
}

/** What is done with files alone, or with them first. */
function addLocalCommands(group: Program, run: Run): void {
  group
    .command("lint")
    .description("check skills by the rules of agentskills.io, without a server")
    .argument("[folders...]", "skills' folders, or folders of such (default: the present one)")
    .option("--strict", "fail on warnings too")
    .option("--json", "print what was found as JSON")
    .addHelpText("after", "\nExit code: 0 no errors, 1 errors.")
    .action((folders: string[], options) =>
      run(
        import("./commands/skill/lint.ts").then((m) => m.skillLint),
        { folders: folders.length === 0 ? ["."] : folders, ...options },
      ),
    );
  group
    .command("lock")
    .description("write down the digests of the skills that manifests name, and of those that they require")
    .option("-f, --file <path>", "a file, a folder, or - for standard input; may be repeated (default: .)", collect)
    .option("--frozen", "write nothing, and fail where stigmer.lock is not up to date")
    .action(({ file = ["."], ...options }: { file?: string[]; frozen?: boolean }) =>
      run(
        import("./commands/skill/lock.ts").then((m) => m.skillLock),
        { file, ...options },
      ),
    );
}
