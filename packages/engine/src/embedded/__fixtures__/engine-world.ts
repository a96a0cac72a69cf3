import { expect } from "vitest";
import type { EmbeddedEngineOptions } from "../create-engine.ts";
import { createManualClock } from "./manual-clock.ts";
import { createRawRunner, type RawRunner, type RawStream } from "./raw-runner.ts";
import { createFixtureServer, type FixtureServer } from "./server.ts";

// An engine in manual time, and runners of which the test makes each call.

const closing: (() => Promise<void>)[] = [];
export async function closeWorlds(): Promise<void> {
  for (const close of closing.splice(0)) await close();
}

export interface EngineWorld {
  readonly clock: ReturnType<typeof createManualClock>;
  readonly server: FixtureServer;
  readonly runner: (id: string) => RawRunner;
  /** Submits and starts. */
  readonly run: (...ids: readonly string[]) => Promise<void>;
}

export function world(options: Partial<EmbeddedEngineOptions> = {}): EngineWorld {
  const clock = createManualClock();
  const server = createFixtureServer({ clock, ...options });
  closing.push(async () => server.engine.close());
  return {
    clock,
    server,
    runner: (id) => createRawRunner(server.transport(), id),
    run: async (...ids) => {
      for (const id of ids) {
        await server.submit({ id, sessionId: `session of ${id}` });
        await server.engine.start(id);
      }
    },
  };
}

/** An attached runner with its task `aex-1`. */
export async function holding(given: EngineWorld, id = "r1"): Promise<{ runner: RawRunner; stream: RawStream }> {
  const runner = given.runner(id);
  const stream = runner.attach();
  expect(await stream.next()).toBe("attached");
  await given.run("aex-1");
  expect(await stream.next()).toBe("lease aex-1/1");
  return { runner, stream };
}

