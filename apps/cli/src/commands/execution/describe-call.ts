import type { ToolCall } from "@stigmer/protos/agentexecution/v1";
import { stringify } from "yaml";
import { plainText } from "../../output/plain-text.ts";

/** What is asked, in full, on one line: what is not shown can't be approved. */
export function describeCall({ name, args }: Pick<ToolCall, "name" | "args">): string {
  return plainText(commandOf({ name, args }) ?? `${name} ${JSON.stringify(args ?? {})}`);
}

/** The same for who is to decide on it: long texts with their line breaks. */
export function showCall({ name, args }: Pick<ToolCall, "name" | "args">): string {
  const command = commandOf({ name, args });
  if (command !== undefined) return plainText(command);
  if (Object.keys(args ?? {}).length === 0) return `${plainText(name)}, without arguments`;
  const shown = stringify(args, { lineWidth: 0 }).trimEnd().replace(/^/gm, "  ");
  return plainText(`${name}\n${shown}`);
}

function commandOf({ name, args }: Pick<ToolCall, "name" | "args">): string | undefined {
  const command = name === "execute" ? args?.["command"] : undefined;
  return typeof command === "string" ? command : undefined;
}
