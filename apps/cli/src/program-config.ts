import { Argument, type Command as Program } from "commander";
import type { Run } from "./program-options.ts";

/** Declares what shows and changes `config.yaml`. */
export function addConfigCommands(program: Program, run: Run): void {
  const config = program.command("config").description("the settings in ~/.stigmer/config.yaml");
  config
    .command("get")
    .description("show a setting; exit code 1 when the file does not have it")
    .argument("<key>", "such as llm.model; `config list` shows all")
    .option("--json", "as JSON")
    .action((key, options) =>
      run(
        import("./commands/config/config.ts").then((m) => m.configGet),
        { key, ...options },
      ),
    );
  config
    .command("set")
    .description("set a setting; what else the file says, comments too, stays as it is")
    .argument("<key>", "such as llm.model")
    .argument("<value>", "YAML where the setting is no text")
    .action((key, value) =>
      run(
        import("./commands/config/config.ts").then((m) => m.configSet),
        { key, value },
      ),
    );
  config
    .command("unset")
    .description("take a setting out")
    .argument("<key>", "such as llm.model, or llm for all below it")
    .action((key) =>
      run(
        import("./commands/config/config.ts").then((m) => m.configUnset),
        { key },
      ),
    );
  config
    .command("list")
    .description("show all settings, and the variables that go before them")
    .option("--json", "what the file has, as JSON")
    .action((options) =>
      run(
        import("./commands/config/config.ts").then((m) => m.configList),
        options,
      ),
    );
  config
    .command("path")
    .description("show where the file is")
    .action(() =>
      run(
        import("./commands/config/config.ts").then((m) => m.configPath),
        {},
      ),
    );
  addKeychainCommands(config, run);
}

function addKeychainCommands(config: Program, run: Run): void {
  const key = config.command("key").description("models' API keys in the keychain of the operating system");
  const provider = (): Argument => new Argument("<provider>", "whose key").choices(["anthropic", "openai"]);
  key
    .command("set")
    .description("keep a provider's key in the keychain; asks for it, or reads stdin")
    .addArgument(provider())
    .action((name) =>
      run(
        import("./commands/config/config-key.ts").then((m) => m.configKeySet),
        { provider: name },
      ),
    );
  key
    .command("unset")
    .description("take a provider's key out of the keychain")
    .addArgument(provider())
    .action((name) =>
      run(
        import("./commands/config/config-key.ts").then((m) => m.configKeyUnset),
        { provider: name },
      ),
    );
  key
    .command("list")
    .description("show whose keys are kept, never the keys")
    .option("--json", "as JSON")
    .action((options) =>
      run(
        import("./commands/config/config-key.ts").then((m) => m.configKeyList),
        options,
      ),
    );
}
