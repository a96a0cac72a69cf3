import { Code } from "@connectrpc/connect";
import { type AgentExecution, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deltaOf, moved, said } from "../executions/__fixtures__/open-runs.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_COMPLETED } = ExecutionPhase;
const MISSING = "01m7yp6m06v3nf22f78h88f1ad";

let now: number;
let server: TestServer;
let agentId: string;
beforeEach(async () => {
  now = 1_700_000_000_000;
  server = await openTestServer({ clock: () => (now += 1) });
  agentId = (await server.agents.create(given.agent("a"))).metadata?.id ?? "";
});
afterEach(() => server.dispose());

async function start(spec: object = { agentId }, metadata: object = {}): Promise<string> {
  return (await server.executions.create(given.execution(spec, metadata))).metadata?.id ?? "";
}

describe("create", () => {
  it("starts a new session on the default instance, and leaves a task in the same write", async () => {
    const run = await server.executions.create(given.execution({ agentId, message: "Do it\nnow" }));
    expect(run.metadata?.id).toMatch(/^aex-/);
    expect(run.status).toMatchObject({ phase: EXECUTION_PENDING, revision: 1 });
    expect(run.status?.audit?.specAudit?.createdBy?.id).toBe("user of local");
    const session = await server.sessions.get({ value: run.spec?.sessionId });
    const agent = await server.agents.get({ value: agentId });
    expect(session.spec).toMatchObject({ agentInstanceId: agent.status?.defaultInstanceId, subject: "Do it" });
    expect(server.asked).toEqual([`start ${run.metadata?.id}`]);
    expect(await server.executions.get({ value: run.metadata?.id })).toEqual(run);
    server = await server.restart();
    expect(await server.lease()).toMatchObject({ id: run.metadata?.id, fence: 1 });
    expect(await server.executions.get({ value: run.metadata?.id })).toEqual(run);
  });

  it("joins a session, whose agent it takes", async () => {
    const sessionId = (await server.executions.get({ value: await start() })).spec?.sessionId;
    const second = await server.executions.get({ value: await start({ sessionId }) });
    expect(second.spec).toMatchObject({ sessionId, agentId });
    expect((await server.sessions.list({})).entries).toHaveLength(1);
    const other = (await server.agents.create(given.agent("b"))).metadata?.id;
    await expect(start({ sessionId, agentId: other })).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it("finds the agent by its name, and stores which one that was", async () => {
    const run = await server.executions.create(given.execution({ agentRef: { slug: "a" } }));
    expect(run.spec).toMatchObject({ agentId });
    expect(run.spec?.agentRef).toBeUndefined();
    const { sessionId } = run.spec ?? {};
    expect((await server.executions.get({ value: await start({ sessionId, agentRef: { slug: "a" } }) })).spec).toEqual(
      (await server.executions.get({ value: await start({ sessionId, agentId }) })).spec,
    );
    const id = run.metadata?.id;
    const changed = await server.executions.update(
      given.execution({ agentRef: { slug: "b" }, message: "Other" }, { id }),
    );
    expect(changed.spec).toMatchObject({ agentId, message: "Other" });
    expect(changed.spec?.agentRef).toBeUndefined();
  });

  it("refuses a name that leads to nothing, or elsewhere than the rest", async () => {
    await server.agents.create(given.agent("b"));
    await expect(start({ agentRef: { slug: "nobody" } })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: "spec.agent_ref: Agent local/nobody does not exist",
    });
    await expect(start({ agentRef: { slug: "a", org: "others" } })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(start({ agentRef: { slug: "b" }, agentId })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/^spec\.agent_ref: is agt-\w+, but agent_id is agt-\w+$/) as string,
    });
    const { spec } = await server.executions.create(given.execution({ agentId }));
    await expect(start({ agentRef: { slug: "b" }, sessionId: spec?.sessionId })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: `spec.agent_ref: the session talks with ${agentId}; leave out one of agent_ref and session_id`,
    });
    expect((await server.executions.list({})).entries).toHaveLength(1);
  });

  it("names the field of what is missing, and stores nothing", async () => {
    await expect(start({})).rejects.toMatchObject({ code: Code.InvalidArgument });
    await expect(start({ agentId: `agt-${MISSING}` })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: `spec.agent_id: Agent agt-${MISSING} does not exist`,
    });
    await expect(start({ sessionId: `ses-${MISSING}` })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: `spec.session_id: Session ses-${MISSING} does not exist`,
    });
    const id = `aex-${MISSING}`;
    await start({ agentId }, { id });
    await expect(start({ agentId }, { id })).rejects.toMatchObject({ code: Code.AlreadyExists });
    expect((await server.sessions.list({})).entries).toHaveLength(1);
    expect((await server.executions.list({})).entries).toHaveLength(1);
    expect(server.asked).toEqual([`start ${id}`]);
  });

  it("takes no status from a client", async () => {
    const request = { ...given.execution({ agentId }), status: { phase: EXECUTION_COMPLETED, error: "mine" } };
    expect((await server.executions.create(request)).status).toMatchObject({ phase: EXECUTION_PENDING, error: "" });
  });
});

describe("update", () => {
  it("changes what a waiting run is asked, not where it belongs", async () => {
    const id = await start();
    const before = await server.executions.get({ value: id });
    const changed = await server.executions.update(given.execution({ agentId, message: "Other" }, { id, tags: ["t"] }));
    expect(changed.spec).toMatchObject({ message: "Other", sessionId: before.spec?.sessionId });
    expect(changed.status).toMatchObject({ phase: EXECUTION_PENDING, revision: 1 });
    expect((await server.executions.list({ tags: ["t"] })).entries).toHaveLength(1);
  });

  it("is refused once a runner has it", async () => {
    const id = await start();
    await server.lease();
    const late = server.executions.update(given.execution({ agentId, message: "Other" }, { id }));
    await expect(late).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect((await server.executions.get({ value: id })).spec?.message).toBe("Hello");
  });
});

describe("the status", () => {
  it("comes by patches under a fence", async () => {
    const executionId = await start();
    const { fence } = await server.lease();
    const delta = deltaOf(...said("m1", "Hi"), ...moved(EXECUTION_IN_PROGRESS));
    expect(await server.executions.patchStatus({ executionId, fence, sequence: 1, delta })).toMatchObject({
      revision: 2,
    });
    const stale = server.executions.patchStatus({ executionId, fence: fence + 1, sequence: 1, delta });
    await expect(stale).rejects.toMatchObject({ code: Code.FailedPrecondition });
    const run = await server.executions.get({ value: executionId });
    expect(run.status).toMatchObject({ phase: EXECUTION_IN_PROGRESS, revision: 2 });
    expect(run.status?.audit?.specAudit?.event).toBe("created");
  });

  it("comes whole from an older runner, without its audit and revision", async () => {
    const executionId = await start({ agentId, callbackToken: new Uint8Array([1]) });
    const status = {
      phase: EXECUTION_IN_PROGRESS,
      messages: [{ type: 2, content: "Hi" }],
      revision: 77,
      callbackToken: new Uint8Array([9]),
    };
    const run = await server.executions.updateStatus({ executionId, status });
    expect(run.status).toMatchObject({ phase: EXECUTION_IN_PROGRESS, revision: 2, callbackToken: new Uint8Array([1]) });
    expect(run.status?.messages[0]?.content).toBe("Hi");
    const missing = server.executions.updateStatus({ executionId: `aex-${MISSING}`, status });
    await expect(missing).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("is subscribed to: stored state at once, then each change, ending with the run", async () => {
    const executionId = await start();
    const { fence } = await server.lease();
    const phases: number[] = [];
    let sequence = 0;
    const patch = (delta: ReturnType<typeof deltaOf>): Promise<unknown> =>
      server.executions.patchStatus({ executionId, fence, sequence: ++sequence, delta });
    for await (const run of server.executions.subscribe({ value: executionId })) {
      expect(run).toMatchObject({ kind: "AgentExecution", metadata: { id: executionId } });
      phases.push(run.status?.phase ?? 0);
      if (phases.length === 1) await patch(deltaOf(...moved(EXECUTION_IN_PROGRESS)));
      if (phases.length === 2) await patch(deltaOf(...moved(EXECUTION_COMPLETED)));
    }
    expect(phases).toEqual([EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_COMPLETED]);
    const after: number[] = [];
    for await (const run of server.executions.subscribe({ value: executionId })) after.push(run.status?.phase ?? 0);
    expect(after).toEqual([EXECUTION_COMPLETED]);
  });

  it("is watched: a snapshot of the whole run, then changes, or only what came after a revision", async () => {
    const executionId = await start();
    const { fence } = await server.lease();
    await server.executions.patchStatus({ executionId, fence, sequence: 1, delta: deltaOf(...said("m1", "Hi")) });
    const kinds: (string | undefined)[] = [];
    let first: AgentExecution | undefined;
    for await (const { event, revision } of server.executions.watch({ executionId })) {
      kinds.push(event.case);
      if (event.case === "snapshot") first = event.value;
      if (revision === 2) {
        await server.executions.patchStatus({
          executionId,
          fence,
          sequence: 2,
          delta: deltaOf(...moved(EXECUTION_COMPLETED)),
        });
      }
    }
    expect(kinds).toEqual(["snapshot", "delta"]);
    expect(first).toMatchObject({ kind: "AgentExecution", metadata: { id: executionId }, status: { revision: 2 } });
    const missing = server.executions.watch({ executionId: `aex-${MISSING}` })[Symbol.asyncIterator]();
    await expect(missing.next()).rejects.toMatchObject({ code: Code.NotFound });
  });
});

describe("cancel and delete", () => {
  it("asks the engine to cancel, unless the run has ended", async () => {
    const id = await start();
    const run = await server.executions.cancel({ executionId: id, reason: "enough" });
    expect(run.metadata?.id).toBe(id);
    await server.runs.fail(id, "no");
    await server.executions.cancel({ executionId: id, reason: "again" });
    expect(server.asked.slice(1)).toEqual([`cancel ${id} enough`]);
    await expect(server.executions.cancel({ executionId: `aex-${MISSING}` })).rejects.toMatchObject({
      code: Code.NotFound,
    });
  });

  it("deletes a run that waits or has ended, with its contexts, but none that is under way", async () => {
    const id = await start();
    const context = await server.contexts.create({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "ExecutionContext",
      metadata: { name: "c" },
      spec: { executionId: id },
    });
    await server.lease();
    await expect(server.executions.delete({ value: id })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `${id} is under way: cancel it, or wait for its end`,
    });
    await server.runs.fail(id, "no");
    const deleted = await server.executions.delete({ value: id });
    expect(deleted.status).toMatchObject({ error: "no" });
    await expect(server.executions.get({ value: id })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.contexts.get({ value: context.metadata?.id })).rejects.toMatchObject({ code: Code.NotFound });
    const waiting = await start();
    await server.executions.delete({ value: waiting });
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
  });
});

describe("lists", () => {
  it("show phase, error and times of all runs, newest first, by phase and in pages", async () => {
    const ids = [await start(), await start(), await start()];
    await server.runs.fail(ids[1] ?? "", "broken");
    const all = await server.executions.list({});
    expect(all.entries.map(({ metadata }) => metadata?.id)).toEqual(ids.toReversed());
    expect(all.entries[1]).toMatchObject({
      apiVersion: "agentic.stigmer.ai/v1",
      status: { error: "broken", messages: [] },
    });
    const failed = await server.executions.list({ phase: ExecutionPhase.EXECUTION_FAILED });
    expect(failed.entries.map(({ metadata }) => metadata?.id)).toEqual([ids[1]]);
    const first = await server.executions.list({ pageSize: 2 });
    expect(first).toMatchObject({ totalPages: 2 });
    const second = await server.executions.list({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second.entries.map(({ metadata }) => metadata?.id)).toEqual([ids[0]]);
    expect(second.nextPageToken).toBe("");
  });

  it("show the runs of a session whole, as much as fits an answer", async () => {
    const sessionId = (await server.executions.get({ value: await start() })).spec?.sessionId ?? "";
    await start({ agentId });
    for (let index = 0; index < 3; index++) {
      const executionId = await start({ sessionId });
      const status = { messages: [{ type: 2, content: "x".repeat(900_000) }] };
      await server.executions.updateStatus({ executionId, status });
    }
    const first = await server.executions.listBySession({ sessionId });
    expect(first.entries).toHaveLength(2);
    expect(first.entries[0]?.status?.messages[0]?.content).toHaveLength(900_000);
    const second = await server.executions.listBySession({ sessionId, pageToken: first.nextPageToken });
    expect(second.entries).toHaveLength(2);
    expect(second.nextPageToken).toBe("");
  });
});
