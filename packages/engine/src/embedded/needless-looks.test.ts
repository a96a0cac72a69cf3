import { create, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { afterEach, expect, it } from "vitest";
import { closeWorlds, type EngineWorld, world } from "./__fixtures__/engine-world.ts";
import { rest } from "./__fixtures__/rest.ts";
import { createMemoryQueueStore } from "./memory-queue-store.ts";
import type { QueueStore } from "./queue-store.ts";

// Each look into the queue is a question to the database, before which others' runs wait.

afterEach(closeWorlds);

/** Submits a run of an organization and starts it. */
async function run({ server }: EngineWorld, id: string, org: string): Promise<void> {
  const { queue, executions, engine } = server;
  executions.set(id, { id, sessionId: id });
  const place = { queue: "agent_execution_runner", payload: new Uint8Array(), createdAt: 0 };
  await queue.enqueue({ id, kind: "execution", sessionId: id, org, ...place });
  await engine.start(id, { org });
}

/** Counts what the engine asks its queue. */
function counting(given: EngineWorld, method: "lease" | "inbox", queue: QueueStore = given.server.queue): () => number {
  let count = 0;
  const ask: (...args: never[]) => unknown = queue[method];
  Object.assign(queue, {
    [method]: (...args: never[]) => {
      count += 1;
      return ask(...args);
    },
  });
  return () => count;
}

it("looks for no run of an organization that has as many in work as may be, and gives it out when one of them ends", async () => {
  const given = world({ maxRunsPerOrg: 1 });
  const runner = given.runner("r1");
  const stream = runner.attach({ maxConcurrency: 8 });
  expect(await stream.next()).toBe("attached");
  await run(given, "aex-1", "noisy");
  expect(await stream.next()).toBe("lease aex-1/1");
  await rest();
  const looks = counting(given, "lease");
  for (const id of ["aex-2", "aex-3", "aex-4"]) await run(given, id, "noisy");
  await rest();
  expect(looks()).toBe(0);
  await run(given, "aex-5", "quiet");
  expect(await stream.next()).toBe("lease aex-5/1");
  await runner.complete({ taskId: "aex-1", fence: 1 });
  expect(await stream.next()).toBe("lease aex-2/1");
});

it("looks for a run of an organization whose others it has not given out itself", async () => {
  const given = world({ maxRunsPerOrg: 1 });
  const runner = given.runner("r1");
  const stream = runner.attach({ maxConcurrency: 8 });
  expect(await stream.next()).toBe("attached");
  await run(given, "aex-1", "noisy");
  expect(await stream.next()).toBe("lease aex-1/1");
  await given.server.restart();
  const again = given.runner("r2").attach({ maxConcurrency: 8 });
  expect(await again.next()).toBe("attached");
  await rest();
  const looks = counting(given, "lease");
  await run(given, "aex-2", "noisy");
  await rest();
  expect(looks()).toBeGreaterThan(0);
});

it("looks for no run again that a look under way has given out, and for one that it has not", async () => {
  const given = world();
  const { queue, engine } = given.server;
  const stream = given.runner("r1").attach({ maxConcurrency: 8 });
  expect(await stream.next()).toBe("attached");
  await rest();
  const { lease } = queue;
  let goOn = (): void => {};
  queue.lease = async (options) => {
    const task = await lease(options);
    await new Promise<void>((resolve) => (goOn = resolve));
    return task;
  };
  const looks = counting(given, "lease");
  await given.server.submit({ id: "aex-1", sessionId: "s1" });
  await engine.start("aex-1");
  await rest();
  // Again, while it is on its way.
  await engine.start("aex-1");
  goOn();
  expect(await stream.next()).toBe("lease aex-1/1");
  await rest();
  await engine.start("aex-1");
  await rest();
  expect(looks()).toBe(1);

  await given.server.submit({ id: "aex-2", sessionId: "s2" });
  await engine.start("aex-2");
  await rest();
  await given.server.submit({ id: "aex-3", sessionId: "s3" });
  await engine.start("aex-3");
  queue.lease = lease;
  goOn();
  expect(await stream.next()).toBe("lease aex-2/1");
  expect(await stream.next()).toBe("lease aex-3/1");
});

it("looks for a run while it is being stored, where that is one commit, if a runner is free for its organization", async () => {
  expect(world().server.engine.expect).toBeUndefined();
  const queue = { ...createMemoryQueueStore(), commitsTogether: true };
  const given = world({ queue, maxRunsPerOrg: 1, loadExecution: async () => create(AgentExecutionSchema) });
  const { engine } = given.server;
  const place = {
    kind: "execution",
    queue: "agent_execution_runner",
    payload: new Uint8Array(),
    createdAt: 0,
  } as const;
  const store = (id: string, org: string): Promise<void> => queue.enqueue({ id, sessionId: id, org, ...place });
  const looks = counting(given, "lease", queue);
  const expected = async (org: string): Promise<number> => {
    const before = looks();
    engine.expect?.({ org });
    await rest();
    return looks() - before;
  };
  await rest();
  expect(await expected("noisy")).toBe(0);
  const stream = given.runner("r1").attach({ maxConcurrency: 2 });
  expect(await stream.next()).toBe("attached");
  await rest();
  // Which was refused, say.
  expect(await expected("noisy")).toBe(1);
  await store("aex-1", "noisy");
  expect(await expected("noisy")).toBe(1);
  expect(await stream.next()).toBe("lease aex-1/1");
  expect(await expected("noisy")).toBe(0);
  await store("aex-2", "quiet");
  expect(await expected("quiet")).toBe(1);
  expect(await stream.next()).toBe("lease aex-2/1");
  // The runner has no room.
  expect(await expected("other")).toBe(0);
});

it("asks for no inbox of which the queue has told that it is empty", async () => {
  const given = world();
  const { queue } = given.server;
  const inboxes = new Map<string, number>();
  const { lease } = queue;
  queue.lease = async (options) => {
    const task = await lease(options);
    return task && { ...task, items: inboxes.get(task.id) ?? 0 };
  };
  const asked = counting(given, "inbox");
  const stream = given.runner("r1").attach({ maxConcurrency: 8 });
  expect(await stream.next()).toBe("attached");
  await given.run("aex-1");
  expect(await stream.next()).toBe("lease aex-1/1");
  expect(asked()).toBe(0);

  const item = create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "and more" } } });
  await given.server.submit({ id: "aex-2", sessionId: "s" });
  await queue.deliver("aex-2", { id: "m1", payload: toBinary(InboxItemSchema, item) });
  inboxes.set("aex-2", 1);
  await given.server.engine.start("aex-2");
  expect(await stream.next()).toBe("lease aex-2/1 m1");
  expect(asked()).toBe(1);
});
