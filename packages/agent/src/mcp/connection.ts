// One server, reached when it is needed and again when it was lost. The client is the SDK's.
import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import {
  CallToolResultSchema,
  ErrorCode,
  McpError,
  ToolListChangedNotificationSchema,
  type CallToolResult,
  type Tool,
} from "@modelcontextprotocol/sdk/types.js";
import { dockerCommand, problemOfName, watchContainer } from "./docker-command.ts";
import { createHttpLink, explainHttp, isBroken, type HttpLink } from "./http-transport.ts";
import type { McpServerConfig } from "./mcp-config.ts";
import type { McpConnectionsOptions } from "./mcp-connections.ts";
import { createProcessTransport, type ProcessTransport } from "./process-transport.ts";
import { quote } from "./quote.ts";
import { ConnectFailure, processFailure } from "./server-failure.ts";

export interface ConnectionOptions extends Required<McpConnectionsOptions> {
  readonly config: McpServerConfig;
  /** Where programs are started. */
  readonly directory: string;
}

export interface Connection {
  /** What the server offers now. Throws `ConnectFailure`. */
  tools(signal?: AbortSignal): Promise<readonly Tool[]>;
  /** Throws `CallFailure` with what the model is to know, or the signal's reason. */
  call(name: string, args: Record<string, unknown>, signal?: AbortSignal): Promise<CallToolResult>;
  close(): Promise<void>;
}

/** A call that came to nothing. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
}

/** An open way to the server. */
interface Link {
  readonly client: Client;
  /** Why it is of no use any more, once it is not. */
  lost: string | undefined;
  tools: Promise<readonly Tool[]> | undefined;
  isForgotten(error: unknown): boolean;
  explain(error: unknown): Promise<string>;
  close(): Promise<void>;
}

/** A server that asks for page after page must come to an end. */
const mostPages = 1_000;
const longestBackoffMs = 10_000;

export function createConnection(options: ConnectionOptions): Connection {
  const { config, connectTimeoutMs } = options;
  const callTimeoutMs = (config.type === "http" ? config.timeoutMs : undefined) ?? options.callTimeoutMs;
  const closing = new AbortController();
  let link: Link | undefined;
  let linking: Promise<Link> | undefined;
  /** Lost or not reached in a row, with no call that went well between. */
  let failures = 0;
  const ends = new Set<Promise<void>>();

  const drop = (lost: Link, reason: string): void => {
    if (lost.lost !== undefined) return;
    lost.lost = reason;
    if (link === lost) link = undefined;
    failures += 1;
    end(lost);
  };

  const end = (ended: Link): void => {
    const done: Promise<void> = ended
      .close()
      .catch(() => {})
      .finally(() => ends.delete(done));
    ends.add(done);
  };

  const connect = async (): Promise<Link> => {
    // Once at once: most servers that died start again.
    if (failures > 1) {
      const wait = Math.min(options.backoffMs * 2 ** (failures - 2), longestBackoffMs);
      await delay(wait, undefined, { signal: closing.signal });
    }
    try {
      const opened = await openLink(options, drop, closing.signal);
      link = opened;
      return opened;
    } catch (error) {
      failures += 1;
      throw error;
    }
  };

  const ready = async (signal?: AbortSignal): Promise<Link> => {
    signal?.throwIfAborted();
    if (closing.signal.aborted) throw new ConnectFailure("", "the connection is closed");
    if (link !== undefined) return link;
    if (linking === undefined) {
      linking = connect().finally(() => (linking = undefined));
      // Whoever waits for it below hears of it; nobody may be left.
      linking.catch(() => {});
    }
    return withSignal(linking, signal);
  };

  const attempt = async (
    name: string,
    args: Record<string, unknown>,
    { signal, again }: { readonly signal?: AbortSignal; readonly again: boolean },
  ): Promise<CallToolResult> => {
    const used = await ready(signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new CallFailure(`The MCP server ${config.name} can't be reached: ${(error as Error).message}`, {
        cause: error,
      });
    });
    try {
      const result = await used.client.callTool({ name, arguments: args }, CallToolResultSchema, {
        signal,
        timeout: callTimeoutMs,
        resetTimeoutOnProgress: true,
        onprogress: () => {},
      });
      failures = 0;
      return result as CallToolResult;
    } catch (error) {
      signal?.throwIfAborted();
      if (used.isForgotten(error)) {
        drop(used, "it no longer knows the session");
        if (!again) return attempt(name, args, { signal, again: true });
      }
      // An answer that says no is the server's; anything else is the way to it.
      if (isBroken(error) || isUnsent(config, error)) drop(used, "it can't be reached");
      throw await callFailure(name, used, error);
    }
  };

  const callFailure = async (name: string, used: Link, error: unknown): Promise<CallFailure> => {
    const server = `The MCP server ${config.name}`;
    if (error instanceof McpError && error.code === ErrorCode.RequestTimeout) {
      const seconds = callTimeoutMs / 1000;
      const said = `${server} gave no answer to ${name} within ${seconds} s. What the call did is not known.`;
      return new CallFailure(said, { cause: error });
    }
    const gone = used.lost !== undefined || (error instanceof McpError && error.code === ErrorCode.ConnectionClosed);
    if (!gone) {
      const why = config.type === "http" ? explainHttp(error).why : (error as Error).message;
      return new CallFailure(`${server} refused ${name}: ${why}`, { cause: error });
    }
    const why = await used.explain(error);
    const said = `${server} was lost while it ran ${name}: ${why}. What the call did is not known. The next call starts it again.`;
    return new CallFailure(said, { cause: error });
  };

  return {
    async tools(signal) {
      const used = await ready(signal);
      used.tools ??= listTools(used.client, connectTimeoutMs);
      try {
        return await withSignal(used.tools, signal);
      } catch (error) {
        used.tools = undefined;
        signal?.throwIfAborted();
        drop(used, "it does not say what tools it has");
        throw new ConnectFailure("", `it does not say what tools it has: ${await used.explain(error)}`, error);
      }
    },
    call: (name, args, signal) => attempt(name, args, { signal, again: false }),
    async close() {
      closing.abort(new Error("The connection is closed."));
      await linking?.catch(() => {});
      if (link !== undefined) {
        link.lost = "the connection is closed";
        end(link);
        link = undefined;
      }
      await Promise.all(ends);
    },
  };
}

async function openLink(
  options: ConnectionOptions,
  drop: (link: Link, reason: string) => void,
  signal: AbortSignal,
): Promise<Link> {
  const client = new Client({ name: "stigmer", version: "1" }, { capabilities: {} });
  const way = await openWay(options, (reason) => drop(link, reason));
  const link: Link = {
    client,
    lost: undefined,
    tools: undefined,
    isForgotten: (error) => way.http?.isForgotten(error) === true,
    explain: async (error) => (await way.explain(error)).why,
    close: way.close,
  };
  Object.assign(client, { onclose: () => drop(link, "it has ended") });
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    link.tools = undefined;
  });
  try {
    await client.connect(way.transport, { timeout: options.connectTimeoutMs, signal });
    return link;
  } catch (error) {
    link.lost = "it was not reached";
    // What has ended by itself says why; what is silent is asked before it is ended.
    const { part, why } = await way.explain(error);
    await way.close();
    throw new ConnectFailure(part, why, error);
  }
}

interface Way {
  readonly transport: Transport;
  readonly http?: HttpLink;
  explain(error: unknown): Promise<{ readonly part: string; readonly why: string }>;
  close(): Promise<void>;
}

async function openWay(options: ConnectionOptions, onLost: (reason: string) => void): Promise<Way> {
  const { config, connectTimeoutMs } = options;
  if (config.type === "http") {
    const http = parsed(() => createHttpLink({ config, onLost }));
    const explain = async (error: unknown): Promise<{ part: string; why: string }> =>
      isTimeout(error)
        ? { part: "url", why: `it gave no answer within ${connectTimeoutMs / 1000} s` }
        : explainHttp(error);
    return { transport: http.transport, http, explain, close: http.close };
  }
  const transport = config.type === "stdio" ? await startProgram(options) : await startContainer(options);
  return {
    transport,
    async explain(error) {
      const ending = !(error instanceof McpError) || error.code === ErrorCode.ConnectionClosed;
      return processFailure(config, await transport.state({ ending }), { error, connectTimeoutMs });
    },
    close: () => transport.close(),
  };
}

async function startProgram({ config, directory, createProcessHost }: ConnectionOptions): Promise<ProcessTransport> {
  if (config.type !== "stdio") throw new Error("not a program");
  const cwd = resolve(directory, config.cwd ?? "");
  // The host would make it.
  if (config.cwd !== undefined && !(await isDirectory(cwd))) {
    throw new ConnectFailure("working_dir", `${cwd} is not a directory on this machine`);
  }
  const command = `exec ${[config.command, ...(config.args ?? [])].map(quote).join(" ")}`;
  return createProcessTransport({ host: await createProcessHost(cwd), command, env: config.env ?? {} });
}

async function startContainer(options: ConnectionOptions): Promise<ProcessTransport> {
  const { config, directory, dockerEnv } = options;
  if (config.type !== "docker") throw new Error("not a container");
  for (const name of Object.keys(config.env ?? {})) {
    const problem = problemOfName(name);
    if (problem !== undefined) {
      throw new ConnectFailure("env_placeholders", `a container can't be given the variable ${name}, which ${problem}`);
    }
  }
  const id = randomUUID();
  const { command, env } = dockerCommand(config, id);
  const host = await options.createProcessHost(directory);
  const onEnd = watchContainer(id, dockerEnv);
  return createProcessTransport({ host, command, env: { ...dockerEnv, ...env }, onEnd });
}

async function listTools(client: Client, timeout: number): Promise<readonly Tool[]> {
  if (client.getServerCapabilities()?.tools === undefined) return [];
  const tools: Tool[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < mostPages; page += 1) {
    const answer = await client.listTools({ ...(cursor !== undefined && { cursor }) }, { timeout });
    tools.push(...answer.tools);
    cursor = answer.nextCursor;
    if (cursor === undefined || cursor === "") return tools;
  }
  throw new Error(`its list of tools has more than ${mostPages} pages`);
}

function parsed<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new ConnectFailure("url", "it is not an address, such as https://example.com/mcp", error);
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof McpError && error.code === ErrorCode.RequestTimeout;
}

/** What a process could not be told. */
function isUnsent({ type }: McpServerConfig, error: unknown): boolean {
  return type !== "http" && !(error instanceof McpError);
}

async function withSignal<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
