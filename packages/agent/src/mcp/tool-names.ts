import { createHash } from "node:crypto";

/** What every provider takes as a tool's name. */
const longest = 64;

/** `<server>__<tool>`, of letters, digits, `_` and `-` alone. What is too long ends in a digest, so that it stays one tool. */
export function mcpToolName(server: string, tool: string): string {
  const name = `${portable(server)}__${portable(tool)}`;
  if (name.length <= longest) return name;
  const digest = createHash("sha256").update(`${server}\0${tool}`).digest("hex").slice(0, 8);
  return `${name.slice(0, longest - digest.length - 1)}_${digest}`;
}

const portable = (name: string): string => name.replaceAll(/[^A-Za-z0-9_-]/g, "_");
