import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { CleanupSandboxTaskSchema, ToolCallClass } from "@stigmer/protos/runner/v1";
import { SandboxType } from "@stigmer/protos/session/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer();
});
afterEach(() => server.dispose());

/** How many rows of each table are about these runs. */
async function rows(ids: readonly string[]): Promise<Record<string, number>> {
  const columns = {
    executions: "id",
    execution_bodies: "execution_id",
    execution_snapshots: "execution_id",
    execution_deltas: "execution_id",
    tool_calls: "execution_id",
    tasks: "id",
    task_inbox: "task_id",
  };
  const counts: Record<string, number> = {};
  for (const [table, column] of Object.entries(columns)) {
    counts[table] = await server.place.countRows({ table, column }, ids);
  }
  return counts;
}

async function newAgent(name = "a"): Promise<{ agentId: string; instanceId: string }> {
  const { metadata, status } = await server.agents.create(given.agent(name));
  return { agentId: metadata?.id ?? "", instanceId: status?.defaultInstanceId ?? "" };
}

describe("an agent", () => {
  it("gets a default instance", async () => {
    const { agentId, instanceId } = await newAgent("My Agent");
    const instance = await server.instances.get({ value: instanceId });
    expect(instance).toMatchObject({
      kind: "AgentInstance",
      metadata: { slug: "my-agent-default", org: "local" },
      spec: { agentId },
    });
  });

  it("gets one also when its name is taken", async () => {
    const { agentId } = await newAgent("other");
    await server.instances.create(given.instance("a-default", agentId));
    const { instanceId } = await newAgent("a");
    expect((await server.instances.get({ value: instanceId })).metadata?.slug).toBe(
      `a-default-${instanceId.slice(-6)}`,
    );
  });

  it("goes with its default instance, but not while it has others or sessions", async () => {
    const { agentId, instanceId } = await newAgent();
    const other = await server.instances.create(given.instance("second", agentId));
    const session = await server.sessions.create(given.session("s", instanceId));
    await expect(server.agents.delete({ value: agentId })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: "Agent a has 1 more instances and 1 sessions: delete those first, or force it",
    });
    await expect(server.instances.delete({ value: instanceId })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    await server.sessions.delete({ value: session.metadata?.id });
    await expect(server.instances.delete({ value: instanceId })).rejects.toMatchObject({
      rawMessage: "AgentInstance a-default is the default instance of a: it goes with its agent",
    });
    await server.instances.delete({ value: other.metadata?.id });
    const deleted = await server.agents.delete({ value: agentId });
    expect(deleted.metadata?.id).toBe(agentId);
    await expect(server.agents.get({ value: agentId })).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.instances.get({ value: instanceId })).rejects.toMatchObject({ code: Code.NotFound });
  });
});

describe("an instance", () => {
  it("is refused when its agent does not exist", async () => {
    const missing = "agt-01m7yp6m06v3nf22f78h88f1ad";
    await expect(server.instances.create(given.instance("i", missing))).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: `spec.agent_id: Agent ${missing} does not exist`,
    });
  });

  it("is listed by its agent, page by page", async () => {
    const { agentId } = await newAgent();
    await newAgent("b");
    for (const name of ["x", "y"]) await server.instances.create(given.instance(name, agentId));
    const all = await server.instances.getByAgent({ agentId });
    expect(all.totalCount).toBe(3);
    expect(all.items.every(({ spec }) => spec?.agentId === agentId)).toBe(true);
    const first = await server.instances.getByAgent({ agentId, pageInfo: { num: 0, size: 2 } });
    expect(first.items).toEqual(all.items.slice(0, 2));
    const second = await server.instances.getByAgent({ agentId, pageInfo: { num: 1, size: 2 } });
    expect(second.items.map(({ metadata }) => metadata?.id)).toEqual(
      all.items.slice(2).map(({ metadata }) => metadata?.id),
    );
    expect(second.totalCount).toBe(3);
  });

  it("reads the wrong kind of older clients as environment", async () => {
    const { agentId } = await newAgent();
    const instance = await server.instances.create(
      given.instance("i", agentId, { environmentRefs: [{ kind: 52, slug: "e", org: "local" }] }),
    );
    expect(instance.spec?.environmentRefs[0]?.kind).toBe(53);
  });
});

describe("a session", () => {
  it("is refused when its instance does not exist", async () => {
    const missing = "ain-01m7yp6m06v3nf22f78h88f1ad";
    await expect(server.sessions.create(given.session("s", missing))).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: `spec.agent_instance_id: AgentInstance ${missing} does not exist`,
    });
  });

  it("keeps what runners stored in it when a manifest without it is applied", async () => {
    const { instanceId } = await newAgent();
    const session = await server.sessions.create(given.session("s", instanceId));
    const id = session.metadata?.id;
    await server.sessions.update(given.session("s", instanceId, { threadId: "t1", sandboxId: "b1" }, { id }));
    const applied = await server.sessions.apply(given.session("s", instanceId, { subject: "Hi" }));
    expect(applied.spec).toMatchObject({ threadId: "t1", sandboxId: "b1", subject: "Hi" });
  });

  it("keeps the kind of sandbox that it was made with", async () => {
    const { instanceId } = await newAgent();
    const { ISOLATED, FILESYSTEM } = SandboxType;
    const made = await server.sessions.create(given.session("s", instanceId, { sandboxType: ISOLATED }));
    const id = made.metadata?.id ?? "";
    const applied = await server.sessions.apply(given.session("s", instanceId, { subject: "Hi" }));
    expect(applied.spec).toMatchObject({ subject: "Hi", sandboxType: ISOLATED });
    await server.sessions.update(given.session("s", instanceId, { sandboxType: ISOLATED }, { id }));
    for (const change of ["update", "apply"] as const) {
      const other = given.session("s", instanceId, { sandboxType: FILESYSTEM }, { id });
      await expect(server.sessions[change](other)).rejects.toMatchObject({
        code: Code.FailedPrecondition,
        rawMessage:
          "Session s was made with SANDBOX_TYPE_ISOLATED, which can't become SANDBOX_TYPE_FILESYSTEM (spec.sandbox_type): create another session",
      });
    }
    expect((await server.sessions.get({ value: id })).spec?.sandboxType).toBe(ISOLATED);
  });

  it("that was made with none stays with that of its runner", async () => {
    const { instanceId } = await newAgent();
    await server.sessions.create(given.session("s", instanceId));
    await expect(
      server.sessions.apply(given.session("s", instanceId, { sandboxType: SandboxType.DOCKER })),
    ).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: expect.stringContaining("was made with its runner's kind of sandbox") as string,
    });
    await expect(server.sessions.create(given.session("t", instanceId, { sandboxType: 99 }))).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("is listed by agent over all its instances, by tags, and in pages", async () => {
    const { agentId, instanceId } = await newAgent();
    const second = await server.instances.create(given.instance("second", agentId));
    await server.sessions.create(given.session("s1", instanceId, {}, { tags: ["x"] }));
    await server.sessions.create(given.session("s2", second.metadata?.id ?? ""));
    await server.sessions.create(given.session("s3", (await newAgent("b")).instanceId));
    const names = (list: { entries: { metadata?: { name: string } }[] }): (string | undefined)[] =>
      list.entries.map(({ metadata }) => metadata?.name).toSorted();
    expect(names(await server.sessions.listByAgent({ agentId }))).toEqual(["s1", "s2"]);
    expect(names(await server.sessions.list({ tags: ["x"] }))).toEqual(["s1"]);
    const page = await server.sessions.list({ pageSize: 2 });
    expect(page).toMatchObject({ totalPages: 2 });
    const rest = await server.sessions.list({ pageSize: 2, pageToken: page.nextPageToken });
    expect(names({ entries: [...page.entries, ...rest.entries] })).toEqual(["s1", "s2", "s3"]);
  });

  it("takes its runs along and leaves its sandbox to a runner, but not while a run is under way", async () => {
    const { instanceId } = await newAgent();
    const spec = { sandboxId: "box", workspaceDir: "/work/dir", sandboxType: SandboxType.ISOLATED };
    const session = await server.sessions.create(given.session("s", instanceId, spec));
    const sessionId = session.metadata?.id ?? "";
    const run = await server.executions.create(given.execution({ sessionId }));
    const runId = run.metadata?.id ?? "";
    await expect(server.sessions.delete({ value: sessionId })).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await server.runs.fail(runId, "no");
    await server.sessions.delete({ value: sessionId });
    await expect(server.executions.get({ value: runId })).rejects.toMatchObject({ code: Code.NotFound });
    expect(server.asked).toContain(`start cleanup-${sessionId}`);
    const task = await server.store.queue.lease({
      queue: "agent_execution_runner",
      runnerId: "r1",
      now: Date.now(),
      leaseMs: 1000,
      maxAttempts: 5,
    });
    expect(task).toMatchObject({ kind: "cleanup-sandbox", id: `cleanup-${sessionId}` });
    expect(fromBinary(CleanupSandboxTaskSchema, task?.payload ?? new Uint8Array())).toMatchObject({
      ...spec,
      sessionId,
    });
  });

  it("leaves nothing of its runs behind: no row of theirs, of their tool calls or of what was sent to them", async () => {
    const { instanceId } = await newAgent();
    const session = await server.sessions.create(given.session("s", instanceId));
    const sessionId = session.metadata?.id ?? "";
    const ids: string[] = [];
    for (const messageId of ["m1", "m2"]) {
      const run = await server.executions.create(given.execution({ sessionId }));
      const executionId = run.metadata?.id ?? "";
      ids.push(executionId);
      await server.executions.sendMessage({ executionId, messageId, text: "Hello again" });
    }
    const { id: executionId, fence } = await server.lease();
    const call = { executionId, fence, callKey: "c1", toolClass: ToolCallClass.ONCE, requestId: "q1" };
    await server.runner.beginToolCall(call);
    await server.runner.finishToolCall({ ...call, result: new Uint8Array(1000) });
    expect(await rows(ids)).toMatchObject({ executions: 2, tool_calls: 1, task_inbox: 2, tasks: 2 });
    for (const id of ids) await server.runs.fail(id, "no");
    await server.sessions.delete({ value: sessionId });
    expect(await rows(ids)).toEqual({
      executions: 0,
      execution_bodies: 0,
      execution_snapshots: 0,
      execution_deltas: 0,
      tool_calls: 0,
      tasks: 0,
      task_inbox: 0,
    });
    expect(await rows([`cleanup-${sessionId}`])).toMatchObject({ tasks: 1 });
  });

  it("works in a directory of the user only on a local server", async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const { instanceId } = await newAgent();
    const session = server.sessions.create(given.session("s", instanceId, { workspaceDir: "/home/me" }));
    await expect(session).rejects.toMatchObject({ code: Code.InvalidArgument });
  });
});
