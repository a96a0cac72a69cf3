import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  type AgentExecutionStatus,
  ExecutionPhase,
  WhenBusy,
} from "@stigmer/protos/agentexecution/v1";
import { AuditQueryController } from "@stigmer/protos/audit/v1";
import { RunnerController, ToolCallClass } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endOpenRuns } from "./end-open-runs.ts";
import type { StoreChoice } from "./open-store.ts";
import { type RunningServer, startServer } from "./start-server.ts";
import { createSchema, type Schema } from "./store/postgres/__fixtures__/schemas.ts";

const REASON = "The database was restored: look at what was done.";
const QUEUE = "agent_execution_runner";

describe.each(["sqlite", "postgres"] as const)("runs that an embedded engine left open in %s", (type) => {
  let home: string;
  let schema: Schema | undefined;
  let store: StoreChoice;
  let server: RunningServer;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "stigmer-end-runs-"));
    schema = type === "postgres" ? await createSchema() : undefined;
    store = schema ? { type: "postgres", url: schema.url } : {};
    server = await start();
  });
  afterEach(async () => {
    await server.close();
    await schema?.drop();
    await rm(home, { recursive: true });
  });

  const start = (): Promise<RunningServer> =>
    startServer({ home, port: 0, store, encryptionKey: Buffer.alloc(32, 7), engine: { leaseMs: 3_600_000 } });
  const end = (): Promise<number> => endOpenRuns({ store, dataDir: join(home, "data"), reason: REASON });

  function transport(): Transport {
    const withKey: Interceptor = (next) => (request) => {
      request.header.set("authorization", `Bearer ${server.apiKey}`);
      return next(request);
    };
    return createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [withKey] });
  }
  const commands = (): Client<typeof AgentExecutionCommandController> =>
    createClient(AgentExecutionCommandController, transport());

  async function create(spec: object): Promise<{ readonly id: string; readonly sessionId: string }> {
    const made = await commands().create({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "AgentExecution",
      metadata: { name: "run" },
      spec: { message: "Do it.", ...spec },
    });
    return { id: made.metadata?.id ?? "", sessionId: made.spec?.sessionId ?? "" };
  }
  async function statusOf(id: string): Promise<AgentExecutionStatus | undefined> {
    return (await createClient(AgentExecutionQueryController, transport()).get({ value: id })).status;
  }
  /** What a runner is given within a second. */
  async function leases(): Promise<{ readonly taskId: string; readonly fence: number }[]> {
    const stop = AbortSignal.timeout(1_000);
    const given: { taskId: string; fence: number }[] = [];
    const request = { runnerId: "runner", taskQueue: QUEUE, maxConcurrency: 10 };
    try {
      for await (const { event } of createClient(RunnerController, transport()).takeLeases(request, { signal: stop }))
        if (event.case === "lease") given.push({ taskId: event.value.taskId, fence: event.value.fence });
    } catch (error) {
      if (!stop.aborted) throw error;
    }
    return given;
  }

  it("end as cancelled with the reason, in whatever state they are, and no runner gets one again", async () => {
    const agent = await createClient(AgentCommandController, transport()).create({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "Agent",
      metadata: { name: "clerk" },
      spec: { instructions: "You keep the files." },
    });
    const of = { agentId: agent.metadata?.id ?? "" };
    const held = await create(of);
    const next = await create({ sessionId: held.sessionId });
    const over = await create(of);
    await commands().cancel({ executionId: over.id });
    const [lease] = await leases();
    expect(lease?.taskId).toBe(held.id);
    const paused = await create(of);
    await commands().pause({ executionId: paused.id, reason: "let me look" });
    // What was said to the run may have been heard and done after the dump: it makes no run of its own.
    await create({ sessionId: held.sessionId, whenBusy: WhenBusy.STEER, message: "And that." });

    await expect(end()).rejects.toMatchObject({ code: "already-running" });
    await server.close();
    expect(await end()).toBe(3);
    // Until a server has ended them.
    expect(await end()).toBe(3);
    server = await start();
    for (const { id } of [held, next, paused]) {
      await expect.poll(async () => (await statusOf(id))?.phase).toBe(ExecutionPhase.EXECUTION_CANCELLED);
      expect(await statusOf(id)).toMatchObject({ error: REASON });
    }
    expect((await statusOf(over.id))?.error).not.toBe(REASON);
    const { entries } = await createClient(AgentExecutionQueryController, transport()).list({});
    expect(entries.map(({ metadata }) => metadata?.id).toSorted()).toEqual(
      [held, next, over, paused].map(({ id }) => id).toSorted(),
    );
    expect(await leases()).toEqual([]);

    // A runner of before that was not stopped does nothing more for it.
    const runner = createClient(RunnerController, transport());
    const fence = lease?.fence ?? 0;
    const mine = { taskId: held.id, fence };
    expect((await runner.heartbeat({ runnerId: "runner", held: [mine] })).lost).toMatchObject([mine]);
    const call = { executionId: held.id, fence, callKey: "m1/c1", toolName: "execute", requestId: "1" };
    await expect(runner.beginToolCall({ ...call, toolClass: ToolCallClass.ONCE })).rejects.toThrow(
      /fence|ended|no longer/,
    );

    const audit = await createClient(AuditQueryController, transport()).list({ resourceId: held.id });
    expect(audit.items.filter(({ principalId }) => principalId === "administrator")).toHaveLength(2);
    await server.close();
    expect(await end()).toBe(0);
    server = await start();
  });
});
