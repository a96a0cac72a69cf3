import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { type Lease, RunnerController, ToolCallClass } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { type RunningServer, startServer } from "./start-server.ts";

type Child = ChildProcessByStdio<null, Readable, null>;

let home: string;
let children: Child[];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-killed-"));
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(home, { recursive: true });
});

const SERVER = new URL("./__fixtures__/run-server.ts", import.meta.url);
const DYING_SERVER = new URL("./__fixtures__/die-before-announce.ts", import.meta.url);

function run(program: URL, ...args: string[]): Child {
  const child = spawn(process.execPath, ["--conditions=@stigmer/source", fileURLToPath(program), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

/** Once it takes calls. */
async function connectTo(child: Child): Promise<Transport> {
  const [endpoint] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const apiKey = (await readFile(join(home, "local.key"), "utf8")).trim();
  return connect({ endpoint, apiKey });
}

function connect({ endpoint, apiKey }: Pick<RunningServer, "endpoint" | "apiKey">): Transport {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${endpoint}`, interceptors: [authorize] });
}

/** Takes leases and completes each, until nothing is left; answers them in order. */
async function workOff(server: RunningServer): Promise<Lease[]> {
  const runner = createClient(RunnerController, connect(server));
  const stop = new AbortController();
  const leases: Lease[] = [];
  const capacity = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency: 100 };
  try {
    for await (const { event } of runner.takeLeases(capacity, { signal: stop.signal })) {
      if (event.case === "lease") {
        leases.push(event.value);
        await complete(runner, event.value);
      }
      const { waiting, leased } = await server.metrics();
      if (waiting + leased === 0) stop.abort();
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  return leases;
}

async function complete(runner: Client<typeof RunnerController>, { taskId, fence }: Lease): Promise<void> {
  const status = { phase: ExecutionPhase.EXECUTION_COMPLETED };
  await runner.completeLease({
    runnerId: "r1",
    lease: { taskId, fence },
    outcome: { case: "status", value: status },
  });
}

const idOf = (lease: Lease | undefined): string => lease?.taskId ?? "";

it("runs what was created, once, when the server died before its engine was told", async () => {
  const encryptionKey = new Uint8Array(32).fill(7);
  const dataDir = join(home, "data");
  const dying = run(DYING_SERVER, dataDir, Buffer.from(encryptionKey).toString("base64url"));
  const [said, [code, signal]] = await Promise.all([text(dying.stdout), once(dying, "exit")]);
  expect([said, code, signal]).toEqual(["", null, "SIGKILL"]);

  const server = await startServer({ home, dataDir, port: 0, encryptionKey });
  const leases = await workOff(server);
  expect(leases).toHaveLength(1);
  expect(leases[0]).toMatchObject({ fence: 1, attempt: 1, task: { case: "agentExecution" } });
  await server.close();

  const next = await startServer({ home, dataDir, port: 0, encryptionKey });
  expect(await next.metrics()).toMatchObject({ waiting: 0, leased: 0, paused: 0 });
  const executions = createClient(AgentExecutionQueryController, connect(next));
  const { entries } = await executions.list({});
  expect(entries.map(({ metadata, status }) => [metadata?.id, status?.phase])).toEqual([
    [idOf(leases[0]), ExecutionPhase.EXECUTION_COMPLETED],
  ]);
  await next.close();
});

/** Creates runs as fast as it can until the server dies under it; answers the ids that were acknowledged. */
async function createUntilKilled(transport: Transport, kill: () => void, after: number): Promise<string[]> {
  const agent = await createClient(AgentCommandController, transport).create(given.agent("a"));
  const executions = createClient(AgentExecutionCommandController, transport);
  const acknowledged: string[] = [];
  const lane = async (): Promise<void> => {
    for (;;) {
      const created = await executions.create(given.execution({ agentId: agent.metadata?.id }));
      acknowledged.push(created.metadata?.id ?? "");
      if (acknowledged.length === after) kill();
    }
  };
  // Each lane ends with the server.
  await Promise.allSettled([lane(), lane(), lane(), lane()]);
  return acknowledged;
}

it("runs everything that it acknowledged, once, when it was killed under load", async () => {
  const child = run(SERVER, home);
  const exited = once(child, "exit");
  const transport = await connectTo(child);
  const acknowledged = await createUntilKilled(transport, () => child.kill("SIGKILL"), 40);
  expect(await exited).toEqual([null, "SIGKILL"]);

  const server = await startServer({ home, port: 0 });
  const { entries } = await createClient(AgentExecutionQueryController, connect(server)).list({ pageSize: 100 });
  const stored = entries.map(({ metadata }) => metadata?.id ?? "");
  expect(stored).toEqual(expect.arrayContaining(acknowledged));
  const leases = await workOff(server);
  expect(leases.map(idOf).toSorted()).toEqual(stored.toSorted());
  expect(leases.every(({ fence, attempt }) => fence === 1 && attempt === 1)).toBe(true);
  await server.close();
});

it("knows after kill -9 what was begun and what was finished, and by whom it is refused", async () => {
  const child = run(SERVER, home);
  const exited = once(child, "exit");
  const transport = await connectTo(child);
  const agent = await createClient(AgentCommandController, transport).create(given.agent("a"));
  const created = await createClient(AgentExecutionCommandController, transport).create(
    given.execution({ agentId: agent.metadata?.id }),
  );
  const executionId = created.metadata?.id ?? "";
  const lost = createClient(RunnerController, transport);
  const begin = (runner: Client<typeof RunnerController>, fence: number, callKey: string, requestId: string) =>
    runner.beginToolCall({
      executionId,
      fence,
      callKey,
      toolName: "execute",
      toolClass: ToolCallClass.ONCE,
      requestId,
    });
  const capacity = { runnerId: "r0", taskQueue: "agent_execution_runner", maxConcurrency: 1 };
  const stream = lost.takeLeases(capacity)[Symbol.asyncIterator]();
  await stream.next();
  expect((await stream.next()).value).toMatchObject({ event: { case: "lease", value: { fence: 1 } } });
  await begin(lost, 1, "done", "q1");
  await lost.finishToolCall({ executionId, fence: 1, callKey: "done", result: new Uint8Array([1, 2, 3]) });
  await begin(lost, 1, "open", "q2");
  child.kill("SIGKILL");
  await exited;

  const server = await startServer({ home, port: 0, engine: { type: "embedded", recoverMs: 1 } });
  const zombie = createClient(RunnerController, connect(server));
  const runner = createClient(RunnerController, connect(server));
  const stop = new AbortController();
  const leases = runner.takeLeases({ ...capacity, runnerId: "r1" }, { signal: stop.signal })[Symbol.asyncIterator]();
  await leases.next();
  expect((await leases.next()).value).toMatchObject({ event: { case: "lease", value: { fence: 2, attempt: 2 } } });
  await expect(begin(zombie, 1, "open", "q2")).rejects.toThrow(/fence 1 of .* is not current \(2\)/);
  expect((await begin(runner, 2, "done", "q3")).outcome).toMatchObject({
    case: "recorded",
    value: { result: new Uint8Array([1, 2, 3]) },
  });
  expect((await begin(runner, 2, "open", "q4")).outcome).toMatchObject({ case: "unknown" });
  expect(await runner.hello({ runnerId: "r1", version: "1", protocol: 1 })).toMatchObject({ engine: "embedded" });
  stop.abort();
  await server.close();
});
