// Docker's Engine API over its Unix socket: a dozen plain HTTP requests, and connections that are handed over for the streams
// of a process. By hand, since those must be half-closed and taken apart exactly.
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { text as readText } from "node:stream/consumers";
import { SandboxError } from "../errors.ts";

const answerTimeoutMs = 60_000;

export interface Engine {
  /** Answers the parsed JSON, or undefined where there is none. Throws `EngineFault` for an answer of 400 and above. */
  call(method: "GET" | "POST" | "DELETE", path: string, options?: CallOptions): Promise<unknown>;
  /** The streams of a process. What is written is its input; `end` closes that and nothing else. */
  open(path: string, body?: unknown): Promise<Socket>;
}

export interface CallOptions {
  readonly body?: unknown;
  /** Milliseconds until the answer must be there as a whole. Default 60,000. */
  readonly timeoutMs?: number;
}

/** What the engine said no to. */
export class EngineFault extends Error {
  override readonly name = "EngineFault";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function createEngine(socketPath: string): Engine {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });

  const send = (
    method: string,
    path: string,
    options: { readonly body: unknown; readonly upgrade?: true; readonly signal?: AbortSignal },
  ): ClientRequest => {
    const body = options.body === undefined ? "" : JSON.stringify(options.body);
    const outgoing = request({
      socketPath,
      method,
      path,
      agent: options.upgrade ? false : agent,
      headers: {
        host: "docker",
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        ...(options.upgrade && { connection: "Upgrade", upgrade: "tcp" }),
      },
      signal: options.signal,
    });
    outgoing.end(body);
    return outgoing;
  };

  return {
    async call(method, path, { body, timeoutMs = answerTimeoutMs } = {}) {
      const answered = Promise.withResolvers<IncomingMessage>();
      const outgoing = send(method, path, { body, signal: AbortSignal.timeout(timeoutMs) });
      outgoing.once("response", answered.resolve);
      outgoing.on("error", answered.reject);
      try {
        const answer = await answered.promise;
        const text = await readText(answer);
        if ((answer.statusCode ?? 0) >= 400) throw toFault(answer, text);
        return parse(text);
      } catch (error) {
        throw toEngineError(error, socketPath);
      }
    },

    async open(path, body) {
      const opened = Promise.withResolvers<Socket>();
      const outgoing = send("POST", path, { body, upgrade: true });
      outgoing.once("upgrade", (_answer, socket: Socket, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        // From here on it is the caller's; an error before the caller listens must not end this process.
        socket.on("error", () => {});
        opened.resolve(socket);
      });
      outgoing.once("response", (answer) => {
        readText(answer).then((text) => opened.reject(toFault(answer, text)), opened.reject);
      });
      outgoing.on("error", opened.reject);
      try {
        return await opened.promise;
      } catch (error) {
        throw toEngineError(error, socketPath);
      }
    },
  };
}

/** Whether the engine said that there is no such thing. */
export const isMissing = (error: unknown): boolean => error instanceof EngineFault && error.status === 404;

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    // Several JSON texts, as for the progress of a pull, or "OK".
    return text;
  }
}

function toFault(answer: IncomingMessage, text: string): EngineFault {
  const body = parse(text);
  const message =
    typeof body === "object" && body !== null && "message" in body ? String(body.message) : text.slice(0, 500);
  return new EngineFault(answer.statusCode ?? 0, message.trim());
}

function toEngineError(error: unknown, socketPath: string): unknown {
  if (error instanceof EngineFault) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  const unavailable = (what: string): SandboxError =>
    new SandboxError("backend-unavailable", `The docker backend ${what}`, { cause: error });
  if (code === "EACCES" || code === "EPERM") {
    return unavailable(`may not use ${socketPath}: add this user to the group that owns it, mostly docker.`);
  }
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK") {
    return unavailable(`finds no engine at ${socketPath}: start Docker, or set host to its socket (unix:///…).`);
  }
  const words = error instanceof Error ? error.message : String(error);
  return unavailable(`lost its engine at ${socketPath}: ${words}`);
}
