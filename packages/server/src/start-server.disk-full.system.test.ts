// A real disk without room: a filesystem in memory, a few megabytes large, that this test mounts.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { zipSync } from "fflate";
import { afterEach, beforeEach, expect, it } from "vitest";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { type RunningServer, startServer } from "./start-server.ts";

const run = promisify(execFile);

let disk: string;
let server: RunningServer;
let transport: Transport;
const logged: string[] = [];
beforeEach(async () => {
  disk = await mkdtemp(join(tmpdir(), "stigmer-small-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", disk]);
  logged.length = 0;
  const log = (_fields: object, message: string): void => void logged.push(message);
  const silent = (): void => {};
  server = await startServer({
    home: disk,
    port: 0,
    logger: { debug: silent, info: silent, warn: silent, error: log },
  });
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${server.apiKey}`);
    return next(request);
  };
  transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [authorize] });
});
afterEach(async () => {
  await server.close();
  await run("umount", [disk]);
  await rm(disk, { recursive: true });
});

const ballast = (): string => join(disk, "ballast");

/** Takes all the room that is left. */
function fillDisk(): void {
  for (const size of [1 << 20, 1 << 12]) {
    try {
      for (;;) appendFileSync(ballast(), Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }
}

const dataDir = (): string => join(disk, "data");

/** Calls until one is refused; answers the refusal. */
async function refusalOf(call: () => Promise<unknown>): Promise<ConnectError> {
  for (let calls = 0; calls < 10_000; calls++) {
    const error = await call().then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (error) return ConnectError.from(error);
  }
  throw new Error("Nothing was refused.");
}

const fullDisk = (directory: string): object => ({
  code: Code.Unavailable,
  rawMessage: `the disk is full: make room in ${directory}, then try again`,
});

it("says so, reads on, loses nothing, and works again by itself when there is room", { timeout: 120_000 }, async () => {
  const agents = createClient(AgentCommandController, transport);
  const executions = createClient(AgentExecutionCommandController, transport);
  const runner = createClient(RunnerController, transport);
  const reading = createClient(AgentExecutionQueryController, transport);
  const agent = await agents.create(given.agent("a"));
  const agentId = agent.metadata?.id ?? "";
  const first = (await executions.create(given.execution({ agentId }))).metadata?.id ?? "";
  const stop = new AbortController();
  const capacity = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency: 1 };
  const leases = runner.takeLeases(capacity, { signal: stop.signal })[Symbol.asyncIterator]();
  await leases.next();
  expect((await leases.next()).value).toMatchObject({ event: { case: "lease", value: { taskId: first, fence: 1 } } });

  fillDisk();
  const acknowledged = [first];
  // A commit takes room in the log, which was made before and goes round.
  const refused = await refusalOf(async () => {
    const message = "x".repeat(20_000);
    acknowledged.push((await executions.create(given.execution({ agentId, message }))).metadata?.id ?? "");
  });
  expect(refused).toMatchObject(fullDisk(dataDir()));
  expect(await refusalOf(() => agents.create(given.agent("b", { instructions: "y".repeat(20_000) })))).toMatchObject(
    fullDisk(dataDir()),
  );
  const text = "z".repeat(100_000);
  const patch = (sequence: number): Promise<unknown> =>
    executions.patchStatus({
      executionId: first,
      fence: 1,
      sequence,
      delta: { changes: [{ change: { case: "run", value: { error: text } } }] },
    });
  expect(await refusalOf(() => patch(1))).toMatchObject({ code: Code.Unavailable });
  expect(
    await refusalOf(() => executions.sendMessage({ executionId: first, messageId: "m", text: text.slice(0, 30_000) })),
  ).toMatchObject({ code: Code.Unavailable });
  const skill = zipSync({
    "SKILL.md": Buffer.from("---\nname: big\ndescription: Takes room.\n---\nBody\n"),
    noise: randomBytes(400_000),
  });
  const push = (): Promise<unknown> =>
    createClient(SkillCommandController, transport).push({ name: "big", artifact: skill });
  expect(await refusalOf(push)).toMatchObject(fullDisk(join(dataDir(), "artifacts")));
  expect(logged).toContain("the store could not do it");
  expect(logged).not.toContain("call failed");

  // Reads need no room.
  expect(await reading.get({ value: first })).toMatchObject({ metadata: { id: first } });
  expect(await createClient(AgentQueryController, transport).get({ value: agentId })).toMatchObject({ kind: "Agent" });
  const { entries } = await reading.list({ pageSize: 1000 });
  expect(entries.map(({ metadata }) => metadata?.id).toSorted()).toEqual(acknowledged.toSorted());

  await rm(ballast());
  await executions.create(given.execution({ agentId, message: "x".repeat(20_000) }));
  await patch(1);
  await push();
  const database = new DatabaseSync(join(dataDir(), "stigmer.db"), { readOnly: true });
  expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  database.close();
  const status = { phase: ExecutionPhase.EXECUTION_COMPLETED };
  await runner.completeLease({
    runnerId: "r1",
    lease: { taskId: first, fence: 1 },
    outcome: { case: "status", value: status },
  });
  expect((await reading.get({ value: first })).status).toMatchObject(status);
  stop.abort();
});

it("says what is in the way when it is started on a full disk, and starts when there is room", async () => {
  await server.close();
  await rm(dataDir(), { recursive: true });
  fillDisk();
  await expect(startServer({ home: disk, port: 0 })).rejects.toMatchObject({
    code: "not-writable",
    message: expect.stringMatching(`^cannot write ${dataDir()}: `) as string,
  });
  await rm(ballast());
  server = await startServer({ home: disk, port: 0 });
});
