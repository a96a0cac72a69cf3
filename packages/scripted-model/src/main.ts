#!/usr/bin/env node
import { parseArgs } from "node:util";
import { ScriptedModelError } from "./errors.ts";
import { startScriptedModel } from "./server.ts";

const usage = `Usage: stigmer-scripted-model --scenario FILE [--port N]

Answers model requests from a scenario file, on 127.0.0.1, and prints its URL.
Point a client at it: ANTHROPIC_BASE_URL=<url> ANTHROPIC_API_KEY=any, OPENAI_BASE_URL=<url>/v1 OPENAI_API_KEY=any,
or OLLAMA_BASE_URL=<url>

  --scenario FILE  the scenario, YAML or JSON
  --port N         default 0: any free port
  --help
`;

class UsageError extends Error {}

async function main(): Promise<number> {
  const { scenario, port, help } = parseCommandLine();
  if (help) {
    process.stdout.write(usage);
    return 0;
  }
  if (scenario === undefined) throw new UsageError("--scenario is missing");
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
  const model = await startScriptedModel({ scenario, port });
  process.stdout.write(`${model.url}\n`);
  await stopped;
  await model.close();
  return 0;
}

function parseCommandLine(): { scenario: string | undefined; port: number; help: boolean } {
  try {
    const { values } = parseArgs({
      options: { scenario: { type: "string" }, port: { type: "string" }, help: { type: "boolean" } },
    });
    const port = Number(values.port ?? "0");
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error("--port must be 0 to 65535");
    return { scenario: values.scenario, port, help: values.help ?? false };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const wrong = error instanceof UsageError;
  const known = wrong || ScriptedModelError.is(error) || (error as NodeJS.ErrnoException).code === "EADDRINUSE";
  process.stderr.write(
    `${known ? (error as Error).message : String((error as Error).stack ?? error)}\n${wrong ? `\n${usage}` : ""}`,
  );
  process.exitCode = wrong ? 2 : 1;
}
