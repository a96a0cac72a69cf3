import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ExecutionRecord } from "../store/execution-store.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";
import { MAX_ROWS_PER_DELETION } from "./deletion.ts";

let server: TestServer;
let agentId: string;
let instanceId: string;
beforeEach(async () => {
  server = await openTestServer();
  const agent = await server.agents.create(given.agent("a"));
  agentId = agent.metadata?.id ?? "";
  instanceId = agent.status?.defaultInstanceId ?? "";
});
afterEach(() => server.dispose());

async function session(name: string, instance = instanceId): Promise<string> {
  return (await server.sessions.create(given.session(name, instance))).metadata?.id ?? "";
}

/** A run of the session that has ended. */
async function endedRun(sessionId: string): Promise<string> {
  const runtimeEnv = { TOKEN: { value: "secret", isSecret: true } };
  const id = (await server.executions.create(given.execution({ sessionId, runtimeEnv }))).metadata?.id ?? "";
  await server.runs.fail(id, "no");
  return id;
}

async function counts(): Promise<Record<string, number>> {
  const { resources, executions } = server.store;
  const kinds = ["Agent", "AgentInstance", "Session", "ExecutionContext"];
  const counted = await Promise.all(kinds.map(async (kind) => [kind, await resources.count({ kind })] as const));
  return { ...Object.fromEntries(counted), AgentExecution: await executions.count({}) };
}

describe("a forced deletion", () => {
  it("takes instances, sessions, their runs and contexts along, and leaves what is another's", async () => {
    const other = await server.agents.create(given.agent("other"));
    const kept = await session("kept", other.status?.defaultInstanceId);
    const keptRun = await endedRun(kept);
    const second = (await server.instances.create(given.instance("second", agentId))).metadata?.id ?? "";
    const sessions = [await session("s1"), await session("s2"), await session("s3", second)];
    for (const id of sessions) for (let index = 0; index < 2; index++) await endedRun(id);
    const before = server.asked.length;

    await expect(server.agents.delete({ value: agentId })).rejects.toMatchObject({ code: Code.FailedPrecondition });
    const deleted = await server.agents.delete({ value: agentId, force: true });
    expect(deleted.metadata?.id).toBe(agentId);
    expect(await counts()).toEqual({ Agent: 1, AgentInstance: 1, Session: 1, ExecutionContext: 0, AgentExecution: 1 });
    expect(await server.executions.get({ value: keptRun })).toBeDefined();
    expect(await server.sessions.get({ value: kept })).toBeDefined();
    // What the sessions left in sandboxes is cleaned up, and the engine is told.
    expect(server.asked.slice(before).toSorted()).toEqual(sessions.map((id) => `start cleanup-${id}`).toSorted());
    for (const id of sessions)
      expect(await server.store.tasks.state(`cleanup-${id}`)).toMatchObject({ state: "waiting" });
  });

  it("is refused while a run is under way, which it names, and then takes nothing", async () => {
    await endedRun(await session("ended"));
    const sessionId = await session("live");
    const runs: string[] = [];
    for (let index = 0; index < 4; index++) {
      runs.push((await server.executions.create(given.execution({ sessionId }))).metadata?.id ?? "");
    }
    const before = await counts();
    const refusals = [
      () => server.agents.delete({ value: agentId, force: true }),
      () => server.sessions.delete({ value: sessionId }),
    ];
    for (const refusal of refusals) {
      const error = await refusal().then(
        () => undefined,
        (caught: { code: Code; rawMessage: string }) => caught,
      );
      expect(error?.code).toBe(Code.FailedPrecondition);
      expect(runs.filter((id) => error?.rawMessage.includes(id))).toHaveLength(3);
      expect(error?.rawMessage).toContain("and more): cancel them or wait for their end");
    }
    expect(await counts()).toEqual(before);
    for (const id of runs) await server.runs.fail(id, "no");
    await server.agents.delete({ value: agentId, force: true });
    expect(await counts()).toMatchObject({ Agent: 0, Session: 0, AgentExecution: 0 });
  });

  it("of an instance takes its sessions along, but a default one still goes with its agent only", async () => {
    const value = (await server.instances.create(given.instance("second", agentId))).metadata?.id ?? "";
    await endedRun(await session("s", value));
    await endedRun(await session("of-default"));
    await expect(server.instances.delete({ value })).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await server.instances.delete({ value, force: true });
    expect(await counts()).toMatchObject({ AgentInstance: 1, Session: 1, AgentExecution: 1 });
    await expect(server.instances.delete({ value: instanceId, force: true })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
  });

  it("of more than a transaction should hold goes in several, and ends whole", { timeout: 120_000 }, async () => {
    const sessions = [await session("s1"), await session("s2")];
    const runs = MAX_ROWS_PER_DELETION * 1.5;
    const record = await endedTemplate();
    await server.store.transaction(async (tx) => {
      for (let index = 0; index < runs; index++) {
        const sessionId = sessions[index % 2] ?? "";
        await tx.executions.insert({ ...record, id: `aex-${index}`, sessionId, agentId, snapshot: new Uint8Array() });
        const snapshot = new Uint8Array();
        await tx.executions.append({ id: `aex-${index}`, expectedRevision: 1, delta: snapshot, snapshot, ends: true });
      }
    });
    const transactions: number[] = [];
    const original = server.store.transaction;
    const watched = async <T>(work: Parameters<typeof original<T>>[0]): Promise<T> => {
      const before = await server.store.executions.count({});
      const result = await original(work);
      transactions.push(before - (await server.store.executions.count({})));
      return result;
    };
    Object.assign(server.store, { transaction: watched });
    await server.agents.delete({ value: agentId, force: true });
    expect(await counts()).toEqual({ Agent: 0, AgentInstance: 0, Session: 0, ExecutionContext: 0, AgentExecution: 0 });
    expect(Math.max(...transactions)).toBeLessThanOrEqual(MAX_ROWS_PER_DELETION);
    expect(transactions.length).toBeGreaterThan(1);
  });
});

async function endedTemplate(): Promise<ExecutionRecord> {
  const id = await endedRun(await session("template"));
  const record = await server.store.executions.get(id);
  if (!record) throw new Error("The run is not there.");
  return record;
}
