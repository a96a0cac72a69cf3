import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** `stigmer new`: files to begin with. */
export function addNewCommands(program: Program, run: Run): void {
  const group = program.command("new").description("make files to begin with");
  group
    .command("agent")
    .description("make NAME.yaml: the manifest of an agent")
    .argument("<name>", "what the agent is called")
    .option("--dir <folder>", "where to make it (default: here)")
    .action((name, options) =>
      run(
        import("./commands/new/new-agent.ts").then((m) => m.newAgent),
        { name, ...options },
      ),
    );
  group
    .command("skill")
    .description("make NAME/SKILL.md: the folder of a skill, for `stigmer skill push`")
    .argument("<name>", "what the skill is called: lower-case letters, digits and hyphens")
    .option("--dir <folder>", "where to make it (default: here)")
    .option("--manifest", "make NAME.yaml instead, for `stigmer apply`: a skill without other files")
    .action((name, options) =>
      run(
        import("./commands/new/new-skill.ts").then((m) => m.newSkill),
        { name, ...options },
      ),
    );
}
