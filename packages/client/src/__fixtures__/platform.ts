import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Activities, ActivityContext } from "@stigmer/engine";
import { createEmbeddedWorker } from "@stigmer/engine/embedded";
import {
  type AgentExecution,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  type StatusChange,
  StatusDeltaSchema,
  TextKind,
} from "@stigmer/protos/agentexecution/v1";
import { type RunningServer, startServer, type StartServerOptions } from "@stigmer/server";
import { createClient, type StigmerClient } from "../create-client.ts";

const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A server, a client and a runner whose agent needs no model. */
export interface Platform extends AsyncDisposable {
  readonly server: RunningServer;
  readonly client: StigmerClient;
  /** Ends the server and starts it anew on the same port and data. */
  restart(): Promise<void>;
}

/**
 * The agent answers each message with `You said: <message>`. One that contains "wait" is kept under way until something is
 * said to it, which it repeats; "fail" fails.
 */
export async function startPlatform(options: Partial<StartServerOptions> = {}): Promise<Platform> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-client-"));
  let server = await startServer({ home, port: 0, ...options });
  const { port, endpoint, apiKey } = server;
  const client = createClient({ endpoint, apiKey });
  const worker = createEmbeddedWorker({
    transport: client.transport,
    activities: activitiesOf(client),
    runnerId: "runner-1",
    maxConcurrency: 8,
    version: "1.0.0",
    logger,
  });
  const running = worker.run();
  await worker.ready;
  return {
    get server() {
      return server;
    },
    client,
    restart: async () => {
      await server.close();
      server = await startServer({ home, port, ...options });
    },
    [Symbol.asyncDispose]: async () => {
      await worker.drain({ deadlineMs: 200 });
      await running;
      client.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function activitiesOf(client: StigmerClient): Activities {
  return {
    ensureThread: async (sessionId) => `thread-of-${sessionId}`,
    executeGraphton: (execution, _threadId, context) => answer(client, execution, context),
    cleanupSandbox: async () => {},
  };
}

async function answer(
  client: StigmerClient,
  execution: AgentExecution,
  { fence, signal, pause, inbox }: ActivityContext,
): Promise<AgentExecutionStatus> {
  const executionId = execution.metadata?.id ?? "";
  const message = execution.spec?.message ?? "";
  let sequence = 0;
  const report = async (...changes: StatusChange["change"][]): Promise<void> => {
    const delta = create(StatusDeltaSchema, { changes: changes.map((change) => ({ change })) });
    sequence += 1;
    await client.executions.patchStatus({ executionId, fence, sequence, delta });
  };
  const end = async (phase: ExecutionPhase, error = ""): Promise<AgentExecutionStatus> => {
    const value = create(AgentExecutionStatusSchema, { phase, error, completedAt: new Date().toISOString() });
    await report({ case: "run", value: runChange(value) });
    return value;
  };
  const say = async (messageId: string, text: string): Promise<void> => {
    await report(change("messageStarted", { messageId, type: MessageType.MESSAGE_AI }));
    let offset = 0;
    for (const word of text.split(/(?<= )/)) {
      await report(change("textAppended", { messageId, kind: TextKind.CONTENT, offset, text: word }));
      offset += Buffer.byteLength(word);
    }
  };

  await report(change("run", { phase: ExecutionPhase.EXECUTION_IN_PROGRESS, startedAt: new Date().toISOString() }));
  await say("m1", `You said: ${message}`);
  if (message.includes("wait")) {
    const heard = await spoken({ signal, pause, inbox });
    if (signal.aborted) return end(ExecutionPhase.EXECUTION_CANCELLED, String((signal.reason as Error).message));
    if (heard === undefined) {
      await report(change("run", { phase: ExecutionPhase.EXECUTION_PAUSED }));
      throw pause.reason;
    }
    await say("m2", `Heard: ${heard}`);
  }
  if (message.includes("fail")) return end(ExecutionPhase.EXECUTION_FAILED, "it was asked to fail");
  return end(ExecutionPhase.EXECUTION_COMPLETED);
}

function change(name: string, value: object): StatusChange["change"] {
  return { case: name, value } as unknown as StatusChange["change"];
}

function runChange({ phase, error, completedAt }: AgentExecutionStatus): never {
  return { phase, error, completedAt } as never;
}

/** What is said first; undefined when the run is to rest or stop before. */
function spoken({ signal, pause, inbox }: Pick<ActivityContext, "signal" | "pause" | "inbox">): Promise<string | undefined> {
  return new Promise((resolve) => {
    const look = (): void => {
      for (const { item } of inbox.items) if (item.case === "message") resolve(item.value.text);
    };
    signal.addEventListener("abort", () => resolve(undefined));
    pause.addEventListener("abort", () => resolve(undefined));
    if (signal.aborted || pause.aborted) resolve(undefined);
    inbox.subscribe(look);
    look();
  });
}
