import type { Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** Declares what tells about models. */
export function addModelCommands(program: Program, run: Run): void {
  const model = program.command("model").description("the models that runs can use");
  model
    .command("list")
    .description("show which models can be used, and which one is the default, by what")
    .option("--json", "as JSON")
    .action((options) =>
      run(
        import("./commands/model/model-list.ts").then((m) => m.modelList),
        options,
      ),
    );
  model
    .command("test")
    .description("make one small call of a model, and tell how long it took or what is wrong")
    .argument("[name]", "such as openai:gpt-5; the default model without")
    .option("--json", "as JSON")
    .action((name, options) =>
      run(
        import("./commands/model/model-test.ts").then((m) => m.modelTest),
        { name, ...options },
      ),
    );
}
