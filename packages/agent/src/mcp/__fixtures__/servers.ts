// Real MCP servers for tests: the official ones from npm, and those of this folder.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createSandbox } from "@stigmer/sandbox";
import { createMcpConnections } from "../create-mcp-connections.ts";
import type { McpStdioServerConfig } from "../mcp-config.ts";
import type { McpConnections, McpConnectionsOptions } from "../mcp-connections.ts";

type Stdio = Omit<McpStdioServerConfig, "type" | "name" | "command">;

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const { resolve } = createRequire(import.meta.url);
const onSource = ["--conditions=@stigmer/source"];

export function testConnections(options?: Partial<McpConnectionsOptions>): McpConnections {
  return createMcpConnections({
    createProcessHost: (rootDir) => createSandbox({ type: "filesystem", rootDir, inheritEnv: "minimal" }),
    ...options,
  });
}

export function shellServer(name: string, { args = [], ...rest }: Stdio = {}): McpStdioServerConfig {
  return { type: "stdio", name, command: "sh", args: [file("shell-server.sh"), ...args], ...rest };
}

export function moodyServer(name: string, rest: Stdio = {}): McpStdioServerConfig {
  return { type: "stdio", name, command: process.execPath, args: [...onSource, file("moody-server.ts")], ...rest };
}

/** `@modelcontextprotocol/server-filesystem` for this directory. */
export function filesystemServer(name: string, directory: string): McpStdioServerConfig {
  const args = [resolve("@modelcontextprotocol/server-filesystem/dist/index.js"), directory];
  return { type: "stdio", name, command: process.execPath, args };
}

/** `@modelcontextprotocol/server-everything`. */
export function everythingServer(name: string): McpStdioServerConfig {
  return { type: "stdio", name, command: process.execPath, args: [everything, "stdio"] };
}

const everything = resolve("@modelcontextprotocol/server-everything/dist/index.js");

export interface HttpFixture extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
}

/** The moody server over HTTP; port 0 takes any. */
export async function startMoodyHttp(port = 0): Promise<HttpFixture> {
  const child = spawn(process.execPath, [...onSource, file("moody-server.ts"), String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) return fixture(child, Number(line));
  throw new Error("the server did not start");
}

/** `@modelcontextprotocol/server-everything` over streamable HTTP. */
export async function startEverythingHttp(port: number): Promise<HttpFixture> {
  const child = spawn(process.execPath, [everything, "streamableHttp"], {
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr })) {
    if (line.includes(`port ${port}`)) {
      child.stderr.resume();
      return fixture(child, port);
    }
  }
  throw new Error("the server did not start");
}

function fixture(child: ChildProcess, port: number): HttpFixture {
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    port,
    process: child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
