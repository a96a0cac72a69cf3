import { AsyncLocalStorage } from "node:async_hooks";
import { create } from "@bufbuild/protobuf";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { afterEach, expect, it } from "vitest";
import { closeWorlds, world } from "./__fixtures__/engine-world.ts";
import { rest } from "./__fixtures__/rest.ts";
import { createMemoryQueueStore } from "./memory-queue-store.ts";

// The engine looks for a run while it is still being stored.

afterEach(closeWorlds);

const place = { kind: "execution", queue: "agent_execution_runner", payload: new Uint8Array(), createdAt: 0 } as const;

it("gives back what a runner was to have that went while it was being stored", async () => {
  const queue = { ...createMemoryQueueStore(), commitsTogether: true };
  const given = world({ queue, loadExecution: async () => create(AgentExecutionSchema) });
  const stream = given.runner("r1").attach();
  expect(await stream.next()).toBe("attached");
  await rest();
  const { lease } = queue;
  const committing = Promise.withResolvers<void>();
  queue.lease = async (options) => {
    const task = await lease(options);
    await committing.promise;
    return task;
  };
  await queue.enqueue({ id: "aex-1", sessionId: "", org: "", ...place });
  given.server.engine.expect?.({ org: "" });
  await rest();
  stream.close();
  await rest();
  queue.lease = lease;
  committing.resolve();
  await rest();
  expect(await queue.find("aex-1")).toMatchObject({ attempt: 0 });
  const other = given.runner("r2").attach();
  expect(await other.next()).toBe("attached");
  expect(await other.next()).toBe("lease aex-1/2");
});

it("looks in nobody's name, whoever has asked for the run", async () => {
  const callers = new AsyncLocalStorage<string>();
  const queue = { ...createMemoryQueueStore(), commitsTogether: true };
  const seen: unknown[] = [];
  const loadExecution = async () => {
    seen.push(callers.getStore());
    return create(AgentExecutionSchema);
  };
  const given = world({ queue, loadExecution });
  const stream = given.runner("r1").attach();
  expect(await stream.next()).toBe("attached");
  await rest();
  for (const [index, ask] of [
    async () => given.server.engine.expect?.({ org: "" }),
    () => given.server.engine.start(""),
  ].entries()) {
    await queue.enqueue({ id: `aex-${index}`, sessionId: "", org: "", ...place });
    callers.run("somebody", ask);
    expect(await stream.next()).toBe(`lease aex-${index}/1`);
  }
  expect(seen).toEqual([undefined, undefined]);
});
