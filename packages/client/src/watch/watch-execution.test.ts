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
import type { Resync } from "./followed-run.ts";
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

describe("a watcher's picture", () => {
  const hashAt = (revision: number): string => createStatusFold(statusAt(revision)).hash();
  const withHash = (told: WatchAgentExecutionEvent, stateHash: string): WatchAgentExecutionEvent =>
    Object.assign(told, { stateHash });

  it("is held against the server's hashes", async () => {
    const resyncs: Resync[] = [];
    const result = await collect(
      {
        async *watch() {
          yield withHash(snapshot(1), hashAt(1));
          for (const revision of [2, 3, 4, 5, 6]) yield withHash(event(revision), hashAt(revision));
        },
      },
      { onResync: (resync) => resyncs.push(resync) },
    );
    expect(result.text).toBe("Hello, you");
    expect(resyncs).toEqual([]);
  });

  it("is fetched anew when it is another one than the server's, and a wrong one is not shown", async () => {
    const asked: number[] = [];
    const resyncs: Resync[] = [];
    const shown: string[] = [];
    const transport = createRouterTransport((router) => {
      router.service(AgentExecutionQueryController, {
        async *watch({ afterRevision }) {
          asked.push(afterRevision);
          if (asked.length === 1) {
            yield snapshot(3);
            // Revision 4 gets lost on the way: what comes next is told by the hash alone.
            yield withHash(
              create(WatchAgentExecutionEventSchema, { revision: 5, event: { case: "delta", value: {} } }),
              hashAt(5),
            );
          } else {
            yield snapshot(5);
            yield withHash(event(6), hashAt(6));
          }
        },
      });
    });
    const client = createClient(AgentExecutionQueryController, transport);
    const updates = watchExecution(client, "aex-1", { onResync: (resync) => resyncs.push(resync) });
    for await (const { revision, text, delta } of updates)
      shown.push(`${revision} ${text} ${delta ? "delta" : "whole"}`);
    expect(asked).toEqual([0, 0]);
    expect(resyncs).toEqual([{ executionId: "aex-1", revision: 5, reason: "the status differs from the server's" }]);
    expect(shown).toEqual(["3 Hel whole", "5 lo, you whole", "6  delta"]);
  });

  it("is fetched anew when a change does not fit it", async () => {
    const resyncs: string[] = [];
    let opened = 0;
    const result = await collect(
      {
        async *watch() {
          opened += 1;
          yield snapshot(opened === 1 ? 2 : 4);
          // Behind text that is not there.
          yield event(5);
          yield event(6);
        },
      },
      { onResync: ({ reason }) => resyncs.push(reason) },
    );
    expect(result.text).toBe("Hello, you");
    expect(resyncs).toEqual([expect.stringMatching(/^a change does not fit the status/)]);
  });

  it("that comes out wrong again and again ends the watch", async () => {
    let opened = 0;
    const run = collect({
      async *watch() {
        opened += 1;
        yield snapshot(1);
        yield withHash(event(2), "3:0000000000000000");
      },
    });
    await expect(run).rejects.toMatchObject({
      code: "internal",
      message: "execution aex-1: the status differs from the server's, also after 3 fresh starts",
    });
    expect(opened).toBe(4);
  });

  it("is not held against hashes by rules that it does not know, nor against a server that counts otherwise", async () => {
    for (const [first, later] of [
      ["", "9:0000000000000000"],
      ["3:0000000000000000", "3:0000000000000001"],
    ] as const) {
      const result = await collect({
        async *watch() {
          yield withHash(snapshot(1), first);
          for (const revision of [2, 3, 4, 5, 6]) yield withHash(event(revision), later);
        },
      });
      expect(result.revisions).toEqual([1, 2, 3, 4, 5, 6]);
    }
  });
});

describe("said text", () => {
  it("goes on where an earlier watch stopped, and sets turns apart", async () => {
    const transport = createRouterTransport((router) => {
      router.service(AgentExecutionQueryController, {
        async *watch() {
          const started = { case: "messageStarted" as const, value: { messageId: "n", type: MessageType.MESSAGE_AI } };
          const human = { case: "messageStarted" as const, value: { messageId: "h", type: MessageType.MESSAGE_HUMAN } };
          const said = (messageId: string, offset: number, text: string) => ({
            case: "textAppended" as const,
            value: { messageId, kind: TextKind.CONTENT, offset, text },
          });
          const changes = [said("m", 7, "you"), human, said("h", 0, "Bye"), started, said("n", 0, "Good")];
          yield create(WatchAgentExecutionEventSchema, {
            revision: 5,
            event: { case: "delta", value: { changes: changes.map((change) => ({ change })) } },
          });
          yield create(WatchAgentExecutionEventSchema, {
            revision: 6,
            event: {
              case: "delta",
              value: {
                changes: [
                  said("n", 4, "bye"),
                  { case: "run" as const, value: { phase: ExecutionPhase.EXECUTION_FAILED } },
                ].map((change) => ({ change })),
              },
            },
          });
        },
      });
    });
    const client = createClient(AgentExecutionQueryController, transport);
    const updates = await Array.fromAsync(
      watchExecution(client, "aex-1", { afterRevision: 4, status: statusAt(4) }),
      ({ text, phase }) => [text, phase],
    );
    expect(updates).toEqual([
      ["you\n\nGood", "in-progress"],
      ["bye", "failed"],
    ]);
  });
});
