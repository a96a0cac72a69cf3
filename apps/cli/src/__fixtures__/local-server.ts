// A real server in this process, a runner that plays what a test tells it to, and the command line as a function.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import type { ActivityContext } from "@stigmer/engine";
import { createEmbeddedWorker } from "@stigmer/engine/embedded";
import { type AgentExecution, type AgentExecutionStatus, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { startServer } from "@stigmer/server";
import { createStatusFold } from "@stigmer/status";
import type { CommandIo } from "../command-io.ts";
import { runCli } from "../run-cli.ts";

export type Change = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>[number];

/** Reports changes, one delta a call. */
export type Report = (...changes: Change[]) => Promise<void>;

/** What the runner does with a run. It has ended it when it returns. */
export type Play = (report: Report, execution: AgentExecution, context: ActivityContext) => Promise<void>;

export interface CliRun {
  readonly done: Promise<{ code: number; out: string; err: string }>;
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves when stdout or stderr has the text; rejects when the command ends without. */
  printed(text: string): Promise<void>;
  signal(signal: "SIGINT" | "SIGTERM"): void;
}

export interface CliInput {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly stdin?: string;
}

/** Runs a command line in this process. */
export function startCli(args: readonly string[], { env = {}, cwd = "/", stdin = "" }: CliInput = {}): CliRun {
  const written = { out: "", err: "" };
  const changed = new EventTarget();
  const sink = (name: "out" | "err"): PassThrough =>
    new PassThrough().on("data", (chunk) => {
      written[name] += String(chunk);
      changed.dispatchEvent(new Event("change"));
    });
  const listeners = new Set<(signal: "SIGINT" | "SIGTERM") => void>();
  const io: CommandIo = {
    stdin: Readable.from([stdin]),
    stdout: sink("out"),
    stderr: sink("err"),
    env,
    cwd,
    onSignal(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  let ended = false;
  const done = runCli(args, io).then((code) => {
    ended = true;
    changed.dispatchEvent(new Event("change"));
    return { code, ...written };
  });
  return {
    done,
    out: () => written.out,
    err: () => written.err,
    printed: (text) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = written.out.includes(text) || written.err.includes(text);
          if (!found && !ended) return;
          changed.removeEventListener("change", check);
          if (found) resolve();
          else reject(new Error(`ended without printing ${text}:\n${written.out}${written.err}`));
        };
        changed.addEventListener("change", check);
        check();
      }),
    signal(signal) {
      if (listeners.size === 0) throw new Error(`nobody listens to ${signal}`);
      for (const listener of listeners) listener(signal);
    },
  };
}

export interface LocalServer extends AsyncDisposable {
  readonly home: string;
  readonly endpoint: string;
  readonly client: StigmerClient;
  /** Starts a command against this server, in an empty directory unless told otherwise. */
  start(args: readonly string[], input?: CliInput): CliRun;
  /** As `start`, to its end. */
  cli(...args: string[]): Promise<{ code: number; out: string; err: string }>;
  /** Starts a runner that plays runs so. */
  runner(play: Play): Promise<void>;
}

export async function startLocalServer(): Promise<LocalServer> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-cli-"));
  const server = await startServer({ home, port: 0 });
  const { endpoint, apiKey } = server;
  const client = createClient({ endpoint, apiKey });
  const stops: (() => Promise<void>)[] = [];
  const start: LocalServer["start"] = (args, { env, cwd = home, stdin } = {}) =>
    startCli(args, { env: { STIGMER_HOME: home, STIGMER_BACKEND_ENDPOINT: endpoint, ...env }, cwd, stdin });
  return {
    home,
    endpoint,
    client,
    start,
    cli: (...args) => start(args).done,
    async runner(play) {
      const quiet = { debug() {}, info() {}, warn() {}, error() {} };
      const worker = createEmbeddedWorker({
        transport: client.transport,
        activities: {
          ensureThread: async (sessionId) => `thread-${sessionId}`,
          executeGraphton: (execution, _, context) => playRun(client, execution, { context, play }),
          cleanupSandbox: async () => {},
        },
        runnerId: `test-${stops.length}`,
        maxConcurrency: 10,
        version: "0.0.0",
        logger: quiet,
      });
      const running = worker.run();
      await worker.ready;
      stops.push(async () => {
        await worker.drain({ deadlineMs: 100 });
        await running;
      });
    },
    async [Symbol.asyncDispose]() {
      for (const stop of stops) await stop();
      client.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function playRun(
  client: StigmerClient,
  execution: AgentExecution,
  { context, play }: { context: ActivityContext; play: Play },
): Promise<AgentExecutionStatus> {
  const executionId = execution.metadata?.id ?? "";
  const { fence } = context;
  const { executions } = client.underFence({ executionId, fence });
  const fold = createStatusFold(execution.status);
  let sequence = 0;
  await play(
    async (...changes) => {
      const delta = create(StatusDeltaSchema, { changes });
      await executions.patchStatus({ executionId, fence, sequence: ++sequence, delta });
      fold.apply(delta);
    },
    execution,
    context,
  );
  return fold.status;
}
