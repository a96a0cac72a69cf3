// What several declarations of commands have in common.
import { Argument, InvalidArgumentError, Option } from "commander";
import type { Command } from "./command-io.ts";

/** Runs a command whose body is loaded now, and not before. */
export type Run = <Options>(load: Promise<Command<Options>>, options: Options) => Promise<void>;

export function kindArgument(): Argument {
  return new Argument("<kind>", "agent, instance, session, execution, skill, environment or mcpserver");
}

export function outputOption(): Option {
  return new Option("-o, --output <format>", "how to show it")
    .choices(["table", "yaml", "json", "name"])
    .default("table");
}

export function portOption(): Option {
  return new Option("--port <port>", "the server's port, 0 for any free one (default: 50051)").argParser(parsePort);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
}

/** Of an option that is a whole number, from 0. */
export function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

/** Of an option that may be repeated. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
