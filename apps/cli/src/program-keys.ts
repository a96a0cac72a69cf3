import { type Command as Program, InvalidArgumentError, Option } from "commander";
import { parseSpan } from "./parse-span.ts";
import type { Run } from "./program-options.ts";

/** Declares how API keys are made and taken back: by who may call the server, and the first of them by who has its database. */
export function addKeyCommands(program: Program, server: Program, run: Run): void {
  server
    .command("create-key")
    .description("make an API key in the database that the environment names, such as the first of an installation")
    .addOption(
      new Option("--role <role>", "what may be done with it")
        .choices(["owner", "member", "viewer", "runner"])
        .makeOptionMandatory(),
    )
    .option("--org <slug>", "the organization that it opens; a runner's opens none")
    .option("--name <name>", "to tell it from others (default: the role)")
    .addOption(expiresOption())
    .addHelpText("after", "\nThe key alone goes to standard output. It is shown this once, and kept as a hash.")
    .action((options) =>
      run(
        import("./commands/keys/server-keys.ts").then((m) => m.serverCreateKey),
        options,
      ),
    );
  server
    .command("list-keys")
    .description("show all API keys in the database that the environment names, the runners' too")
    .addOption(outputOption(["table", "json"], "table"))
    .action((options) =>
      run(
        import("./commands/keys/server-keys.ts").then((m) => m.serverListKeys),
        options,
      ),
    );
  server
    .command("revoke-key")
    .description("delete an API key in the database that the environment names, such as a runner's")
    .argument("<id>", "its id, as list-keys shows it")
    .action((id) =>
      run(
        import("./commands/keys/server-keys.ts").then((m) => m.serverRevokeKey),
        { id },
      ),
    );
  const group = program.command("key").description("API keys of the server");
  group
    .command("create")
    .description("make an API key, which calls in your name")
    .argument("<name>", "to tell it from others")
    .addOption(
      new Option("--role <role>", "what may be done with it (default: member)").choices(["owner", "member", "viewer"]),
    )
    .addOption(expiresOption())
    .addOption(outputOption(["text", "json"], "text"))
    .action((name, options) =>
      run(
        import("./commands/keys/keys.ts").then((m) => m.createKey),
        { name, ...options },
      ),
    );
  group
    .command("list")
    .description("show your API keys: role, end, last use")
    .addOption(outputOption(["table", "json"], "table"))
    .action((options) =>
      run(
        import("./commands/keys/keys.ts").then((m) => m.listKeys),
        options,
      ),
    );
  group
    .command("revoke")
    .description("delete an API key: it is refused from then on")
    .argument("<key>", "id, name or fingerprint")
    .action((key) =>
      run(
        import("./commands/keys/keys.ts").then((m) => m.revokeKey),
        { key },
      ),
    );
}

function outputOption(formats: string[], usual: string): Option {
  return new Option("-o, --output <format>", "how to show it").choices(formats).default(usual);
}

function expiresOption(): Option {
  return new Option("--expires <time>", "30d, 12h, 90m or never (default: 30d)").argParser(parseExpiry);
}

/** Milliseconds from now. */
function parseExpiry(text: string): number | "never" {
  if (text === "never") return text;
  const ms = parseSpan(text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError("It must be a number of days, hours or minutes, as 30d, 12h or 90m, or never.");
}
