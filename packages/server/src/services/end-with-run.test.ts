// The last word of a run ends its runner's lease, on a running server with its own engine.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Code, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
  WhenBusy,
} from "@stigmer/protos/agentexecution/v1";
import { type HeldLease, type Lease, type RunAnswer, RunnerController } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { deltaOf, moved } from "../executions/__fixtures__/open-runs.ts";
import { type RunningServer, startServer } from "../start-server.ts";
import { given } from "./__fixtures__/open-test-server.ts";

let home: string;
let server: RunningServer;
let transport: Transport;
let runner: Client<typeof RunnerController>;
let executions: Client<typeof AgentExecutionCommandController> & Client<typeof AgentExecutionQueryController>;
const streams: AbortController[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-last-words-"));
  await start();
});
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.abort();
  await server.close();
  await rm(home, { recursive: true });
});

async function start(): Promise<void> {
  server = await startServer({ home, port: 0, engine: { recoverMs: 100 } });
  const { endpoint, apiKey } = server;
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  transport = createGrpcTransport({ baseUrl: `http://${endpoint}`, interceptors: [authorize] });
  runner = createClient(RunnerController, transport);
  executions = Object.assign(
    createClient(AgentExecutionCommandController, transport),
    createClient(AgentExecutionQueryController, transport),
  );
}

type Held = Pick<HeldLease, "taskId" | "fence">;

/** What the runner is given, which takes one at a time. */
async function* leases(held: readonly Held[] = []): AsyncGenerator<Lease | readonly Held[], never> {
  const stop = new AbortController();
  streams.push(stop);
  const offer = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency: 1, held: [...held] };
  for await (const { event } of runner.takeLeases(offer, { signal: stop.signal })) {
    if (event.case === "attached") yield event.value.kept.map(({ taskId, fence }) => ({ taskId, fence }));
    if (event.case === "lease") yield event.value;
  }
  throw new Error("The stream has ended.");
}

async function nextOf(stream: AsyncGenerator<Lease | readonly Held[], never>): Promise<Held> {
  const { value } = await stream.next();
  if (!("taskId" in value)) throw new Error("Not a lease.");
  return { taskId: value.taskId, fence: value.fence };
}

/** A session with this many runs in it. */
async function runs(count: number): Promise<readonly string[]> {
  const agent = await createClient(AgentCommandController, transport).apply(given.agent("a"));
  const ids: string[] = [];
  let sessionId: string | undefined;
  for (let index = 0; index < count; index += 1) {
    const of = sessionId === undefined ? { agentId: agent.metadata?.id } : { sessionId };
    const made = await executions.create(given.execution(of));
    sessionId = made.spec?.sessionId;
    ids.push(made.metadata?.id ?? "");
  }
  return ids;
}

async function end({ taskId: executionId, fence }: Held, endsLeaseOf = "r1"): Promise<RunAnswer["answer"]["case"]> {
  const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_COMPLETED));
  const entry = { case: "patch", value: { executionId, fence, sequence: 1, delta } } as const;
  async function* entries() {
    yield { number: 1, entry, endsLeaseOf };
  }
  const [answer] = await Array.fromAsync(runner.recordRun(entries()));
  return answer?.answer.case;
}

const complete = (lease: Held): Promise<unknown> =>
  runner.completeLease({ runnerId: "r1", lease, outcome: { case: "status", value: { phase: 3 } } });
const phaseOf = async (id: string): Promise<ExecutionPhase | undefined> =>
  (await executions.get({ value: id })).status?.phase;

it("makes room for the next run of the session, with nothing left to complete", async () => {
  const stream = leases();
  await stream.next();
  const [first = "", second = ""] = await runs(2);
  const lease = await nextOf(stream);
  expect(lease.taskId).toBe(first);
  expect(await end(lease)).toBe("ended");
  expect(await nextOf(stream)).toEqual({ taskId: second, fence: 1 });
  expect(await phaseOf(first)).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(await runner.heartbeat({ runnerId: "r1", held: [lease] })).toMatchObject({ lost: [lease] });
});

it("is answered the same when it comes again, and so is who completes the lease all the same", async () => {
  const stream = leases();
  await stream.next();
  await runs(1);
  const lease = await nextOf(stream);
  expect([await end(lease), await end(lease)]).toEqual(["ended", "ended"]);
  const patch = { executionId: lease.taskId, fence: 1, sequence: 1, delta: deltaOf(...moved(3)) };
  expect(await executions.patchStatus(patch)).toMatchObject({ revision: 2 });
  await complete(lease);
  await complete(lease);
  expect(await server.metrics()).toMatchObject({ leased: 0, runners: [{ leased: 0 }] });
});

it("leaves a lease to be completed that is not the runner's, or that nobody named", async () => {
  const stream = leases();
  await stream.next();
  await runs(3);
  for (const named of ["r2", ""]) {
    const lease = await nextOf(stream);
    expect(await end(lease, named)).toBe("patched");
    expect(await server.metrics()).toMatchObject({ leased: 1, runners: [{ leased: 1 }] });
    expect(await end(lease, named)).toBe("patched");
    await complete(lease);
  }
  await expect(end({ ...(await nextOf(stream)), fence: 7 })).resolves.toBe("refused");
});

it("leaves it where something came too late for the run, which becomes a run of its own", async () => {
  const stream = leases();
  await stream.next();
  const [first = ""] = await runs(1);
  const lease = await nextOf(stream);
  const { sessionId } = (await executions.get({ value: first })).spec ?? {};
  await executions.create(given.execution({ sessionId, message: "And this?", whenBusy: WhenBusy.STEER }));
  expect(await end(lease)).toBe("patched");
  await complete(lease);
  const next = await nextOf(stream);
  expect((await executions.get({ value: next.taskId })).spec).toMatchObject({ sessionId, message: "And this?" });
});

it("stands when the server goes before its engine gave anything out again", async () => {
  const stream = leases();
  await stream.next();
  const [, second = ""] = await runs(2);
  const lease = await nextOf(stream);
  expect(await end(lease)).toBe("ended");
  for (const open of streams.splice(0)) open.abort();
  await server.close();
  await start();
  // The answer was lost to the runner, say: it still believes that it holds the run.
  const again = leases([lease]);
  expect((await again.next()).value).toEqual([]);
  expect((await nextOf(again)).taskId).toBe(second);
  await expect(
    runner.completeLease({
      runnerId: "r1",
      lease: { taskId: "aex-none", fence: 1 },
      outcome: { case: "done", value: {} },
    }),
  ).rejects.toMatchObject({ code: Code.Aborted });
  await complete(lease);
});
