import { type Command as Program, InvalidArgumentError, Option } from "commander";
import { parseSpan } from "./parse-span.ts";
import type { Run } from "./program-options.ts";

/** `stigmer audit`: who did what. */
export function addAuditCommands(program: Program, run: Run): void {
  program
    .command("audit")
    .description("who did what: the server's audit log, for owners")
    .command("list")
    .description("show entries, the newest first")
    .option("--actor <id>", "only what this caller did, as `key:key-…`")
    .option("--kind <kind>", "only what was done to this kind, as Agent or Session")
    .option("--resource <id>", "only what was done to this resource")
    .addOption(
      new Option("--since <time>", "only later: 7d, 12h, 90m ago, or a time as 2026-01-31T08:00:00Z").argParser(
        parseSince,
      ),
    )
    .addOption(new Option("--limit <number>", "how many to show at most").argParser(parseLimit).default(100))
    .addOption(new Option("-o, --output <format>", "how to show it").choices(["table", "json"]).default("table"))
    .action((options) =>
      run(
        import("./commands/audit/list-audit.ts").then((m) => m.listAudit),
        options,
      ),
    );
}

function parseSince(text: string): Date {
  const ago = parseSpan(text);
  if (ago !== undefined) return new Date(Date.now() - ago);
  const time = new Date(text);
  if (/^\d{4}-/.test(text) && !Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError(
    "It must be a number of days, hours or minutes, as 7d, 12h or 90m, or a time as 2026-01-31.",
  );
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1 on.");
}
