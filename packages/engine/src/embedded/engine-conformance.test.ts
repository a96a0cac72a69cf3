import { Code } from "@connectrpc/connect";
import { describe, it } from "vitest";
import { engineConformance } from "../conformance/index.ts";
import { createFixtureServer, quiet } from "./__fixtures__/server.ts";
import { createWire } from "./__fixtures__/wire.ts";
import { createEmbeddedWorker } from "./create-worker.ts";

engineConformance({
  name: "embedded",
  describe,
  it,
  create: async () => {
    const server = createFixtureServer({ maxAttempts: 3, reattachMs: 50, retryDelayMs: 10 });
    const cleanups: (() => Promise<void>)[] = [];
    return {
      get engine() {
        return server.engine;
      },
      ends: server.ends,
      submit: server.submit,
      fenceOf: async (id) => (await server.queue.find(id))?.fence ?? 0,
      comeToRest: (taskId, fence) => server.queue.comeToRest({ taskId, fence }),
      isPaused: async (id) => (await server.queue.find(id))?.pauseReason !== undefined,
      knowsProgress: async (id) => (await server.queue.find(id))?.attempt === 1,
      restartServer: server.restart,
      restartEngine: server.restart,
      startRunner: async ({ activities, maxConcurrency = 1 }) => {
        const wire = createWire(server.transport);
        const runnerId = `runner-${String(cleanups.length)}`;
        const worker = createEmbeddedWorker({
          transport: wire,
          activities,
          runnerId,
          maxConcurrency,
          version: "1",
          logger: quiet,
        });
        const running = worker.run().catch(() => {});
        cleanups.push(async () => {
          await worker.drain({ deadlineMs: 0 });
          await running;
        });
        await worker.ready;
        return {
          drain: (drain) => worker.drain(drain),
          // A code that ends the worker: its own end is not what a crash shows, but nothing of it may be left either.
          cutOff: async () => wire.cut(),
          reconnect: async () => wire.heal(),
          crash: async () => wire.cut(Code.Unauthenticated),
        };
      },
      dispose: async () => {
        for (const cleanup of cleanups) await cleanup();
        await server.engine.close();
      },
    };
  },
});
