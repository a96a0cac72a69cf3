// Those who look on, each over a connection of its own, as people do.
import { createClient } from "@stigmer/client";
import { serve } from "./program.ts";
import type { Access } from "./raw-watch.ts";

export type Watchers = {
  /** Resolves when each of them has seen its run. */
  readonly open: (input: Access & { readonly ids: readonly string[]; readonly each: number }) => Promise<void>;
  /** The delays since this was asked last, in milliseconds: from a patch's sending until the watcher was told of it. */
  readonly delays: () => Promise<Float64Array>;
};

let delays: number[] = [];

const methods: Watchers = {
  async open({ ids, each, ...access }) {
    for (const id of ids) await Promise.all(Array.from({ length: each }, () => watch(access, id)));
  },
  async delays() {
    const taken = Float64Array.from(delays);
    delays = [];
    return taken;
  },
};
serve(methods);

/** Resolves when the watcher has seen the run; it goes on. */
async function watch(access: Access, id: string): Promise<void> {
  const seen = Promise.withResolvers<void>();
  const client = createClient(access);
  const go = async (): Promise<void> => {
    for await (const { delta } of client.executions.watch(id)) {
      const now = process.hrtime.bigint();
      for (const { change } of delta?.changes ?? []) {
        if (change.case !== "textAppended") continue;
        // What comes late comes merged: each patch says for itself when it was sent.
        for (const [, sentAt = "0"] of change.value.text.matchAll(/@(\d+);/g)) {
          delays.push(Number(now - BigInt(sentAt)) / 1e6);
        }
      }
      seen.resolve();
    }
    throw new Error(`The run ${id} ended.`);
  };
  void go().catch(seen.reject);
  await seen.promise;
}
