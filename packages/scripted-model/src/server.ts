import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { answerChat } from "./answer.ts";
import { ScriptedModelError, type ScriptedModelErrorCode } from "./errors.ts";
import { readJson, sendJson } from "./exchange.ts";
import { createFaultCounter } from "./faults.ts";
import { anthropic } from "./protocols/anthropic.ts";
import { ollama } from "./protocols/ollama.ts";
import { openaiChat } from "./protocols/openai-chat.ts";
import { openaiResponses } from "./protocols/openai-responses.ts";
import type { Protocol } from "./protocols/protocol.ts";
import { createRequestLog, type OpenRecord, type RecordedRequest } from "./requests.ts";
import { checkScenario, loadScenario } from "./scenario/load-scenario.ts";
import type { ScenarioFile } from "./scenario/scenario.ts";

/** What this package asks of a logger; pino and console-like loggers fit. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ScriptedModelOptions {
  /** Path of a scenario file, or its content as an object. */
  readonly scenario: string | ScenarioFile;
  /** Default 0: any free port. */
  readonly port?: number;
  /** A loopback address; anything else is refused. Default `127.0.0.1`. */
  readonly host?: string;
  /** How many of the newest requests `requests` holds. Default 200. */
  readonly keepRequests?: number;
  /** One line a request, without its content. Default: none. */
  readonly logger?: Logger;
}

export interface ScriptedModel extends AsyncDisposable {
  /** Base URL for Anthropic's and Ollama's clients, as `http://127.0.0.1:41234`; OpenAI's want `/v1` behind it. */
  readonly url: string;
  readonly port: number;
  /** The newest requests, oldest first; an entry is filled in while its request is answered. */
  readonly requests: readonly RecordedRequest[];
  /** Stops listening and closes every connection, answers in flight included. Idempotent. */
  close(): Promise<void>;
}

// The first also words the refusal of paths that no protocol knows.
const protocols: readonly [Protocol, ...Protocol[]] = [anthropic, openaiChat, openaiResponses, ollama];
const defaultModels = ["claude-sonnet-4-5"];

const statuses: Readonly<Partial<Record<ScriptedModelErrorCode, number>>> = {
  "bad-request": 400,
  "no-scenario-matches": 400,
  "past-the-last-turn": 400,
  "template-found-nothing": 400,
  "no-credentials": 401,
  "not-found": 404,
  "body-too-large": 413,
};

/**
 * Starts a model server on loopback that answers from a scenario. It keeps nothing of a conversation: the request alone
 * decides the answer, so retries, resumed and parallel runs get the same one. Only `error.times` and `cut.times` count.
 * @throws {ScriptedModelError} for a scenario that cannot be read or is not valid, and for a host that is not loopback.
 */
export async function startScriptedModel(options: ScriptedModelOptions): Promise<ScriptedModel> {
  const { scenario, port = 0, host = "127.0.0.1", keepRequests = 200, logger } = options;
  if (!/^(127(\.\d+){3}|::1|localhost)$/.test(host)) {
    const message = `${host} is not a loopback address: the scripted model knows no access rules. Use 127.0.0.1.`;
    throw new ScriptedModelError("host-not-loopback", message);
  }
  const file = typeof scenario === "string" ? await loadScenario(scenario) : checkScenario(scenario);
  const log = createRequestLog(keepRequests);
  const faults = createFaultCounter();

  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const record = log.open(request, path);
    const gone = new AbortController();
    response.once("close", () => {
      // To abort makes an error with a stack: of an answer that is whole nothing waits any more.
      if (!response.writableFinished) gone.abort();
      if (record.outcome === "open") record.outcome = "abandoned";
      const { scenario, turn, status, outcome } = record;
      logger?.info({ method: record.method, path, scenario, turn, status, outcome }, "model request");
    });
    void handle(request, response, { path, record, signal: gone.signal });
  });

  // Node's 5 seconds end between two steps of an agent, and a client that reuses its socket then sees a reset.
  server.keepAliveTimeout = 60_000;

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    { path, record, signal }: { path: string; record: OpenRecord; signal: AbortSignal },
  ): Promise<void> {
    let protocol = protocols[0];
    try {
      record.body = await readJson(request);
      for (const candidate of protocols) {
        const endpoint = candidate.route(record.method, path, request.headers);
        if (endpoint === undefined) continue;
        protocol = candidate;
        const { body } = record;
        const { headers } = request;
        if (endpoint.kind === "chat") {
          return await answerChat(endpoint.parse(body, headers), response, { file, protocol, faults, record, signal });
        }
        const answer = endpoint.answer({ models: file.models ?? defaultModels, body, headers });
        record.status = 200;
        record.outcome = "answered";
        return sendJson(response, 200, answer);
      }
      throw new ScriptedModelError("not-found", `Not found: ${record.method} ${path}`);
    } catch (error) {
      if (signal.aborted) return;
      refuse(error, response, { protocol, record });
    }
  }

  function refuse(error: unknown, response: ServerResponse, to: { protocol: Protocol; record: OpenRecord }): void {
    const { protocol, record } = to;
    const status = (ScriptedModelError.is(error) && statuses[error.code]) || 500;
    const message = error instanceof Error ? error.message : String(error);
    logger?.warn({ path: record.path, scenario: record.scenario, turn: record.turn, status }, message);
    record.outcome = "failed";
    if (response.headersSent) {
      response.destroy();
      return;
    }
    record.status = status;
    sendJson(response, status, protocol.encodeFailure({ status, message }));
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${bound}`;
  logger?.info({ url, scenario: file.name }, "scripted model listens");

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }));
  return { url, port: bound, requests: log.entries, close, [Symbol.asyncDispose]: close };
}
