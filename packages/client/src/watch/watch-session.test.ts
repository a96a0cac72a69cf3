import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import {
  AgentExecutionQueryController,
  ExecutionPhase,
  MessageType,
  TextKind,
  WatchSessionEventSchema,
  type WatchSessionEvent,
} from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import type { Resync } from "./followed-run.ts";
import type { SessionUpdate, WatchSessionOptions } from "./session-run.ts";
import { watchSession } from "./watch-session.ts";

type Watch = ServiceImpl<typeof AgentExecutionQueryController>["watchSession"];

function follow(watch: Watch, options?: WatchSessionOptions): AsyncGenerator<SessionUpdate, void, undefined> {
  const transport = createRouterTransport((router) => {
    router.service(AgentExecutionQueryController, { watchSession: watch });
  });
  return watchSession(createClient(AgentExecutionQueryController, transport), "ses-1", options);
}

const snapshot = (executionId: string, revision: number, said: string): WatchSessionEvent =>
  create(WatchSessionEventSchema, {
    executionId,
    revision,
    event: {
      case: "snapshot",
      value: {
        metadata: { id: executionId },
        spec: { message: `to ${executionId}` },
        status: {
          phase: ExecutionPhase.EXECUTION_IN_PROGRESS,
          messages: [{ id: "m", type: MessageType.MESSAGE_AI, content: said }],
        },
      },
    },
  });

const said = (executionId: string, revision: number, [offset, text]: [number, string], stateHash = "") =>
  create(WatchSessionEventSchema, {
    executionId,
    revision,
    stateHash,
    event: {
      case: "delta",
      value: {
        changes: [
          { change: { case: "textAppended", value: { messageId: "m", kind: TextKind.CONTENT, offset, text } } },
        ],
      },
    },
  });

const caughtUp = create(WatchSessionEventSchema, { event: { case: "caughtUp", value: {} } });
const deleted = (executionId: string): WatchSessionEvent =>
  create(WatchSessionEventSchema, { executionId, event: { case: "deleted", value: {} } });

function show(update: SessionUpdate): string {
  if (update.kind === "caught-up") return "caught up";
  if (update.kind === "removed") return `${update.executionId} removed`;
  return `${update.executionId}@${update.revision} ${update.text}`;
}

/** The first updates, as many as are wanted. */
async function first(count: number, updates: AsyncGenerator<SessionUpdate>): Promise<string[]> {
  const shown: string[] = [];
  for await (const update of updates) {
    shown.push(show(update));
    if (shown.length === count) break;
  }
  return shown;
}

it("tells all runs of a session, and goes on after a break with what it has of each", async () => {
  const asked: unknown[] = [];
  const updates = follow(async function* ({ sessionId, afterRevisions }) {
    asked.push([sessionId, { ...afterRevisions }]);
    if (asked.length === 1) {
      yield snapshot("aex-1", 3, "One");
      yield snapshot("aex-2", 5, "Two");
      yield caughtUp;
      yield said("aex-2", 6, [3, "!"]);
      throw new ConnectError("gone", Code.Unavailable);
    }
    // Told before: a server may tell it again.
    yield said("aex-2", 6, [3, "!"]);
    yield said("aex-1", 4, [3, ", and"]);
    yield deleted("aex-2");
    yield deleted("aex-unknown");
    yield caughtUp;
    yield snapshot("aex-3", 1, "Three");
    yield said("aex-3", 2, [5, "."]);
  });
  expect(await first(8, updates)).toEqual([
    "aex-1@3 One",
    "aex-2@5 Two",
    "caught up",
    "aex-2@6 !",
    "aex-1@4 , and",
    "aex-2 removed",
    "aex-3@1 Three",
    "aex-3@2 .",
  ]);
  expect(asked).toEqual([
    ["ses-1", {}],
    ["ses-1", { "aex-1": 3, "aex-2": 6 }],
  ]);
});

it("fetches a run anew whose picture is another one than the server's, and no other", async () => {
  const asked: unknown[] = [];
  const resyncs: Resync[] = [];
  const updates = follow(
    async function* ({ afterRevisions }) {
      asked.push({ ...afterRevisions });
      if (asked.length === 1) {
        yield snapshot("aex-1", 3, "One");
        yield snapshot("aex-2", 5, "Two");
        yield said("aex-2", 6, [3, "!"], "3:0000000000000000");
      } else {
        yield snapshot("aex-2", 6, "Two?");
      }
    },
    { onResync: (resync) => resyncs.push(resync) },
  );
  expect(await first(3, updates)).toEqual(["aex-1@3 One", "aex-2@5 Two", "aex-2@6 ?"]);
  expect(asked).toEqual([{}, { "aex-1": 3 }]);
  expect(resyncs).toMatchObject([{ executionId: "aex-2", revision: 6 }]);
});

it("carries what the run was asked and how it stands", async () => {
  const updates = follow(async function* () {
    yield snapshot("aex-1", 3, "One");
  });
  const { value } = await updates.next();
  expect(value).toMatchObject({
    kind: "run",
    phase: "in-progress",
    execution: { spec: { message: "to aex-1" } },
    status: { messages: [{ content: "One" }] },
  });
});

it("ends for a session that is not there", async () => {
  // oxlint-disable-next-line require-yield
  const updates = follow(async function* () {
    throw new ConnectError("Session ses-1 does not exist", Code.NotFound);
  });
  await expect(updates.next()).rejects.toMatchObject({
    code: "not-found",
    message: "Session ses-1 does not exist",
  });
});

it("can be stopped", async () => {
  const controller = new AbortController();
  const updates = follow(
    async function* () {
      yield caughtUp;
      await new Promise(() => {});
    },
    { signal: controller.signal },
  );
  await updates.next();
  const next = updates.next();
  controller.abort();
  await expect(next).rejects.toMatchObject({ code: "cancelled" });
});
