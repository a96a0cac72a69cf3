import { Code } from "@connectrpc/connect";
import {
  type AgentExecution,
  ExecutionPhase,
  type WatchAgentExecutionListEvent,
  type WatchSessionEvent,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, type StatusFold } from "@stigmer/status";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { deltaOf, moved, said } from "../executions/__fixtures__/open-runs.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_COMPLETED, EXECUTION_IN_PROGRESS, EXECUTION_PENDING } = ExecutionPhase;

let server: TestServer;
let agentId: string;
beforeEach(async () => {
  server = await openTestServer();
  agentId = (await server.agents.create(given.agent("a"))).metadata?.id ?? "";
});
afterEach(() => server.dispose());

async function start(spec: object = { agentId }): Promise<{ id: string; sessionId: string; run: AgentExecution }> {
  const run = await server.executions.create(given.execution(spec));
  return { id: run.metadata?.id ?? "", sessionId: run.spec?.sessionId ?? "", run };
}

const patchNext = inSequence((sent) => server.executions.patchStatus(sent));
async function patch(executionId: string, fence: number, ...changes: Parameters<typeof deltaOf>): Promise<void> {
  await patchNext({ executionId, fence, delta: deltaOf(...changes) });
}

/** One event after the other. */
function read<T>(events: AsyncIterable<T>): () => Promise<T> {
  const iterator = events[Symbol.asyncIterator]();
  return async () => {
    const { done, value } = await iterator.next();
    if (done) throw new Error("The stream has ended.");
    return value;
  };
}

describe("watch", () => {
  it("tells the hash that the watcher's own fold has", async () => {
    const { id } = await start();
    const { fence } = await server.lease();
    for (let index = 0; index < 40; index++) await patch(id, fence, ...said("m", "é", 2 * index));
    await patch(id, fence, ...moved(EXECUTION_COMPLETED, { error: "none" }));
    let fold: StatusFold | undefined;
    const told: string[] = [];
    const own: (string | undefined)[] = [];
    for await (const { event, stateHash } of server.executions.watch({ executionId: id })) {
      if (event.case === "snapshot") fold = createStatusFold(event.value.status);
      else if (event.case === "delta") fold?.apply(event.value);
      told.push(stateHash);
      own.push(fold?.hash());
    }
    expect(told).toEqual(own);
  });
});

describe("watchSession", () => {
  it("tells of all runs of a session, whole and then by what changes, and of those that come and go", async () => {
    const { id, sessionId, run } = await start();
    const next = read<WatchSessionEvent>(server.executions.watchSession({ sessionId }));
    const first = await next();
    expect(first).toMatchObject({ executionId: id, revision: 1, event: { case: "snapshot" } });
    expect(first.event.value).toEqual(run);
    expect(await next()).toMatchObject({ executionId: "", event: { case: "caughtUp" } });

    const { fence } = await server.lease();
    await patch(id, fence, ...said("m", "a"));
    const second = await next();
    expect(second).toMatchObject({ executionId: id, revision: 2, event: { case: "delta" } });
    await patch(id, fence, ...moved(EXECUTION_COMPLETED));
    expect(await next()).toMatchObject({ executionId: id, revision: 3, stateHash: expect.stringMatching(/^\d+:/) });

    const later = await start({ sessionId });
    expect(await next()).toMatchObject({ executionId: later.id, revision: 1, event: { case: "snapshot" } });
    await server.executions.delete({ value: later.id });
    expect(await next()).toMatchObject({ executionId: later.id, event: { case: "deleted" } });
    await server.sessions.delete({ value: sessionId });
    expect(await next()).toMatchObject({ executionId: id, event: { case: "deleted" } });
  });

  it("resumes after what the watcher has", async () => {
    const { id, sessionId } = await start();
    const { fence } = await server.lease();
    await patch(id, fence, ...said("m", "a"));
    await patch(id, fence, ...said("m", "b", 1));
    const next = read<WatchSessionEvent>(server.executions.watchSession({ sessionId, afterRevisions: { [id]: 2 } }));
    const event = await next();
    expect(event).toMatchObject({ executionId: id, revision: 3, event: { case: "delta" } });
    const caughtUp = read(server.executions.watchSession({ sessionId, afterRevisions: { [id]: 3 } }));
    expect(await caughtUp()).toMatchObject({ event: { case: "caughtUp" } });
  });

  it("knows nothing of a session that is not there, or somebody else's", async () => {
    const missing = read(server.executions.watchSession({ sessionId: "ses-x" }));
    await expect(missing()).rejects.toMatchObject({ code: Code.NotFound, rawMessage: "Session ses-x does not exist" });
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const headers = { "x-org": "acme" };
    agentId = (await server.agents.create(given.agent("a", {}, { org: "acme" }), { headers })).metadata?.id ?? "";
    const { spec } = await server.executions.create(given.execution({ agentId }), { headers });
    const sessionId = spec?.sessionId ?? "";
    const theirs = read(server.executions.watchSession({ sessionId }, { headers: { "x-org": "other" } }));
    await expect(theirs()).rejects.toMatchObject({ code: Code.NotFound });
    const own = read(server.executions.watchSession({ sessionId }, { headers }));
    expect(await own()).toMatchObject({ event: { case: "snapshot" } });
  });
});

describe("watchList", () => {
  it("tells of runs without what is said in them", async () => {
    const { id } = await start();
    const { fence } = await server.lease();
    await patch(id, fence, ...said("m", "a"));
    const next = read<WatchAgentExecutionListEvent>(server.executions.watchList({}));
    const first = await next();
    expect(first.event).toMatchObject({
      case: "changed",
      value: { metadata: { id }, spec: { message: "Hello" }, status: { phase: EXECUTION_PENDING, revision: 2 } },
    });
    expect((first.event.value as AgentExecution).status?.messages).toEqual([]);
    expect(await next()).toMatchObject({ event: { case: "caughtUp" } });
    await patch(id, fence, ...said("m", "b", 1));
    await patch(id, fence, ...moved(EXECUTION_IN_PROGRESS, { startedAt: "t" }));
    expect(await next()).toMatchObject({
      event: { value: { status: { phase: EXECUTION_IN_PROGRESS, startedAt: "t" } } },
    });
    const other = (await server.agents.create(given.agent("b"))).metadata?.id ?? "";
    const ofOther = read(server.executions.watchList({ agentId: other }));
    expect(await ofOther()).toMatchObject({ event: { case: "caughtUp" } });
    const theirs = await start({ agentId: other });
    expect(await ofOther()).toMatchObject({ event: { case: "changed", value: { metadata: { id: theirs.id } } } });
    await server.executions.delete({ value: theirs.id });
    expect(await ofOther()).toMatchObject({ event: { case: "deleted", value: theirs.id } });
  });

  it("keeps organizations apart", async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const acme = { headers: { "x-org": "acme" } };
    const other = { headers: { "x-org": "other" } };
    agentId = (await server.agents.create(given.agent("a", {}, { org: "acme" }), acme)).metadata?.id ?? "";
    const theirs = read<WatchAgentExecutionListEvent>(server.executions.watchList({}, other));
    expect(await theirs()).toMatchObject({ event: { case: "caughtUp" } });
    const seen = theirs();
    await server.executions.create(given.execution({ agentId }), acme);
    const own = read(server.executions.watchList({}, acme));
    expect(await own()).toMatchObject({ event: { case: "changed" } });
    const foreign = read(server.executions.watchList({ org: "acme" }, other));
    await expect(foreign()).rejects.toMatchObject({ code: Code.PermissionDenied });
    server.runs.close();
    await expect(seen).rejects.toMatchObject({ code: Code.Unavailable });
  });
});
