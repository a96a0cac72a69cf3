import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** Declares what is done with skills. */
export function addSkillCommands(program: Program, run: Run): void {
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
