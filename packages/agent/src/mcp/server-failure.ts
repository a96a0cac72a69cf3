// Why a server can't be had, in words for people, with the part of its description that they speak of.
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import type { McpDockerServerConfig, McpStdioServerConfig } from "./mcp-config.ts";
import type { ProcessEnd } from "./process-transport.ts";

/** A server that can't be reached. `part` is a field of its description below `stdio`, `http` or `docker`; empty for all of it. */
export class ConnectFailure extends Error {
  override readonly name = "ConnectFailure";
  readonly part: string;

  constructor(part: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.part = part;
  }
}

export function processFailure(
  config: McpStdioServerConfig | McpDockerServerConfig,
  { exitCode, stderr, noise }: ProcessEnd,
  { error, connectTimeoutMs }: { readonly error: unknown; readonly connectTimeoutMs: number },
): { readonly part: string; readonly why: string } {
  const said = lastLines(stderr);
  const detail = said === "" ? "" : `: ${said}`;
  const isProgram = config.type === "stdio";
  const part = isProgram ? "command" : "image";
  if (exitCode === 127 && isProgram) return { part, why: `the command ${config.command} was not found${detail}` };
  if (exitCode === 126 && isProgram) return { part, why: `the command ${config.command} can't be executed${detail}` };
  if (exitCode === 127 && said.includes("docker: not found")) {
    return { part: "", why: "the docker program is not on this machine" };
  }
  if (exitCode === 125 && !isProgram) {
    const ofImage = /image|manifest|pull|repository|registry|reference/i.test(said);
    return { part: ofImage ? part : "", why: `the container can't be started${detail}` };
  }
  if (exitCode !== undefined) return { part, why: `it ended with exit code ${exitCode}${detail}` };
  const printed = noise === undefined ? "" : `; it printed: ${noise}`;
  if (error instanceof McpError && error.code === ErrorCode.RequestTimeout) {
    const silent = `it gave no answer by the Model Context Protocol within ${connectTimeoutMs / 1000} s`;
    return { part, why: `${silent}${printed}${detail}` };
  }
  return { part, why: `${(error as Error).message}${printed}${detail}` };
}

/** The end of what a program said: the reason mostly stands there. */
function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+at /.test(line));
  return lines.slice(-5).join("\n").slice(-600);
}
