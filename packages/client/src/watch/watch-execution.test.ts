import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import {
  AgentExecutionQueryController,
  AgentExecutionSchema,
  ExecutionPhase,
  MessageType,
  StatusDeltaSchema,
  TextKind,
  WatchAgentExecutionEventSchema,
  type AgentExecutionStatus,
  type StatusDelta,
  type WatchAgentExecutionEvent,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold } from "@stigmer/status";
import { describe, expect, it } from "vitest";
import { watchExecution, type WatchOptions } from "./watch-execution.ts";

// A run in six revisions.
const deltas: StatusDelta[] = [
  { case: "run" as const, value: { phase: ExecutionPhase.EXECUTION_IN_PROGRESS } },
  { case: "messageStarted" as const, value: { messageId: "m", type: MessageType.MESSAGE_AI } },
  ...["Hel", "lo, ", "you"].map((text, at) => ({
    case: "textAppended" as const,
    value: { messageId: "m", kind: TextKind.CONTENT, offset: [0, 3, 7][at] ?? 0, text },
  })),
  { case: "run" as const, value: { phase: ExecutionPhase.EXECUTION_COMPLETED } },
].map((change) => create(StatusDeltaSchema, { changes: [{ change }] }));

function statusAt(revision: number): AgentExecutionStatus {
  const fold = createStatusFold();
  for (const delta of deltas.slice(0, revision)) fold.apply(delta);
  fold.status.revision = revision;
  return fold.status;
}

function snapshot(revision: number): WatchAgentExecutionEvent {
  return create(WatchAgentExecutionEventSchema, {
    revision,
    event: { case: "snapshot", value: create(AgentExecutionSchema, { status: statusAt(revision) }) },
  });
}

function event(revision: number): WatchAgentExecutionEvent {
  const value = deltas[revision - 1] ?? create(StatusDeltaSchema);
  return create(WatchAgentExecutionEventSchema, { revision, event: { case: "delta", value } });
}

async function collect(
  service: Partial<ServiceImpl<typeof AgentExecutionQueryController>>,
  options?: WatchOptions,
): Promise<{ revisions: number[]; text: string; phase: ExecutionPhase | undefined }> {
  const transport = createRouterTransport((router) => void router.service(AgentExecutionQueryController, service));
  const revisions: number[] = [];
  let last: AgentExecutionStatus | undefined;
  for await (const update of watchExecution(createClient(AgentExecutionQueryController, transport), "aex-1", options)) {
    revisions.push(update.revision);
    last = update.status;
  }
  return { revisions, text: last?.messages[0]?.content ?? "", phase: last?.phase };
}

describe("watchExecution", () => {
  it("follows a run from a snapshot to its end", async () => {
    const result = await collect({
      async *watch() {
        yield snapshot(1);
        for (const revision of [2, 3, 4, 5, 6]) yield event(revision);
      },
    });
    expect(result).toEqual({
      revisions: [1, 2, 3, 4, 5, 6],
      text: "Hello, you",
      phase: ExecutionPhase.EXECUTION_COMPLETED,
    });
  });

  it("resumes after broken streams: no revision is missed, none comes twice", async () => {
    const asked: number[] = [];
    const waits: number[] = [];
    const result = await collect(
      {
        async *watch({ afterRevision }) {
          asked.push(afterRevision);
          if (afterRevision === 0) yield snapshot(1);
          for (let revision = Math.max(afterRevision, 1) + 1; revision <= deltas.length; revision += 1) {
            yield event(revision);
            if (revision === 3 || revision === 4) throw new ConnectError("connection lost", Code.Unavailable);
          }
        },
      },
      { onReconnect: (_error, waitMs) => waits.push(waitMs) },
    );
    expect(result.revisions).toEqual([1, 2, 3, 4, 5, 6]);
    expect(result.text).toBe("Hello, you");
    expect(asked).toEqual([0, 3, 4]);
    expect(waits).toHaveLength(2);
    for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(25);
    for (const wait of waits) expect(wait).toBeLessThanOrEqual(50);
  });

  it("goes on where an earlier watch stopped", async () => {
    const result = await collect(
      {
        async *watch({ afterRevision }) {
          for (let revision = afterRevision + 1; revision <= deltas.length; revision += 1) yield event(revision);
        },
      },
      { afterRevision: 4, status: statusAt(4) },
    );
    expect(result).toEqual({ revisions: [5, 6], text: "Hello, you", phase: ExecutionPhase.EXECUTION_COMPLETED });
  });

  it("asks a server without watch for whole executions", async () => {
    const result = await collect({
      async *subscribe() {
        for (const revision of [1, 4, 6]) yield create(AgentExecutionSchema, { status: statusAt(revision) });
      },
    });
    expect(result.revisions).toEqual([1, 4, 6]);
    expect(result.text).toBe("Hello, you");
  });

  it("ends at once for what trying again does not mend", async () => {
    const run = collect({
      // oxlint-disable-next-line require-yield
      async *watch() {
        throw new ConnectError("no such execution", Code.NotFound);
      },
    });
    await expect(run).rejects.toMatchObject({ code: "not-found", message: "execution aex-1: no such execution" });
  });

  it("gives up when the server stays away", async () => {
    const run = collect(
      {
        // oxlint-disable-next-line require-yield
        async *watch() {
          throw new ConnectError("refused", Code.Unavailable);
        },
      },
      { giveUpAfterMs: 1 },
    );
    await expect(run).rejects.toMatchObject({ code: "unavailable" });
  });

  it("can be stopped", async () => {
    const controller = new AbortController();
    const run = collect(
      {
        async *watch() {
          yield snapshot(1);
          controller.abort();
          await new Promise(() => {});
        },
      },
      { signal: controller.signal },
    );
    await expect(run).rejects.toMatchObject({ code: "cancelled" });
  });
});
