// Which of a runner's entries are on the disk when they are answered, on SQLite: those that somebody goes on because of.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  BeginToolCallRequestSchema,
  FinishToolCallRequestSchema,
  RememberSandboxRequestSchema,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Principal } from "../interceptors/principal.ts";
import { silentLogger as logger } from "../logger.ts";
import { execution, task } from "../store/__fixtures__/conformance/executions.ts";
import { watchFlushes } from "../store/sqlite/__fixtures__/watch-flushes.ts";
import { openSqliteStore } from "../store/sqlite/create-store.ts";
import type { Store } from "../store/store.ts";
import { createRememberSandbox } from "./remember-sandbox.ts";
import { createToolCalls } from "./tool-calls.ts";

const held = { executionId: "aex-1", fence: 1 };
const principal: Principal = { id: "r1", org: "local", role: "runner" };

let dataDir: string;
let store: Store;
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "stigmer-flushed-"));
  store = openSqliteStore({ dataDir });
  await store.executions.insert(execution({ id: held.executionId }));
  await store.tasks.enqueue(task(held.executionId, { sessionId: "" }));
  await store.queue.lease({ queue: "q", runnerId: "r1", now: 0, leaseMs: 1_000, maxAttempts: 5 });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await store.close();
  rmSync(dataDir, { recursive: true });
});

it("the result of a call is, but of one that may be made again", async () => {
  const { ONCE, REPEATABLE, UNSPECIFIED } = ToolCallClass;
  const given = { once: ONCE, repeatable: REPEATABLE, untold: UNSPECIFIED };
  const calls = createToolCalls({ store, logger });
  for (const callKey of Object.keys(given)) {
    const intent = { ...held, callKey, toolName: "t", toolClass: ONCE, requestId: "q" };
    await calls.beginToolCall(create(BeginToolCallRequestSchema, intent));
  }
  const flushes = watchFlushes();
  for (const [callKey, toolClass] of Object.entries(given)) {
    const result = { ...held, callKey, toolClass, result: new Uint8Array([1]) };
    await calls.finishToolCall(create(FinishToolCallRequestSchema, result));
  }
  expect(flushes).toEqual([2, 1, 2]);
});

it("a session's sandbox is, but one that is found without", async () => {
  const remember = createRememberSandbox({
    store,
    sessions: {
      changeIn: async (tx, id, _principal, change) => {
        const session = create(SessionSchema, { metadata: { id }, spec: { sandboxId: "" } });
        // Something is written, as for a session that is there.
        await tx.executions.insert(execution({ id: `${id}-${Math.random()}` }));
        change(session);
        return session;
      },
    },
    principalOf: () => principal,
  });
  const flushes = watchFlushes();
  for (const foundWithout of [true, false]) {
    const request = create(RememberSandboxRequestSchema, { ...held, sandboxId: "s", foundWithout });
    expect(await remember(request, {} as HandlerContext)).toBe("s");
  }
  expect(flushes).toEqual([1, 2]);
});
