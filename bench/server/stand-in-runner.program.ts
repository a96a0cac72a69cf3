// A runner without an agent, on the server's real lease stream: a run is over as soon as it is there, or when it is let go.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@stigmer/client";
import { createEmbeddedWorker } from "@stigmer/engine/embedded";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { serve } from "./program.ts";
import type { Access } from "./raw-watch.ts";

export type StandInRunner = {
  /** The runs of `prompt` end at once. Resolves when the server has taken the runner in. */
  readonly open: (input: Access & { readonly concurrency: number; readonly prompt: string }) => Promise<void>;
  /** The others' runs go on and end after about so long, or rest where they are from now on when it is not given. */
  readonly work: (input: { readonly runMs?: number }) => Promise<void>;
  /** When each of `prompt`'s runs had come since the last question, by the clock that all processes share. */
  readonly come: () => Promise<ReadonlyMap<string, bigint>>;
  /** How many of the others have ended in all. */
  readonly ended: () => Promise<number>;
};

let come = new Map<string, bigint>();
let ended = 0;
let runMs: number | undefined;
let changed = Promise.withResolvers<void>();

const methods: StandInRunner = {
  async open({ concurrency, prompt, ...access }) {
    const worker = createEmbeddedWorker({
      transport: createClient(access).transport,
      activities: {
        ensureThread: async (sessionId) => sessionId,
        executeGraphton: async ({ metadata }) => {
          if (metadata?.org === prompt) come.set(metadata.id, process.hrtime.bigint());
          else await worked();
          return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
        },
        cleanupSandbox: async () => {},
      },
      runnerId: randomUUID(),
      maxConcurrency: concurrency,
      version: "0.0.0",
      logger: { debug() {}, info() {}, warn: console.warn, error: console.error },
    });
    void worker.run();
    await worker.ready;
  },
  async work({ runMs: next }) {
    runMs = next;
    changed.resolve();
    changed = Promise.withResolvers();
  },
  async come() {
    const taken = come;
    come = new Map();
    return taken;
  },
  ended: async () => ended,
};
serve(methods);

/** Runs don't march in step. What had not ended when the others came to rest begins anew afterwards. */
async function worked(): Promise<void> {
  for (;;) {
    const change = changed.promise;
    if (runMs !== undefined) {
      const over = sleep(runMs * (0.5 + Math.random())).then(() => true);
      if (await Promise.race([over, change.then(() => false)])) break;
    } else await change;
  }
  ended += 1;
}
