import { ConnectError } from "@connectrpc/connect";
import type { Meters } from "@stigmer/telemetry";
import { grpcNameOf } from "../interceptors/trace-calls.ts";
import type { EntryObserver } from "../services/run-entries.ts";

/** Counts what comes over the streams of runs, which are one call each for as long as they are open. */
export function createEntryCounts(meters: Meters): EntryObserver {
  const entries = meters.counter({
    name: "stigmer_server_run_entries_total",
    help: "Entries of runners' streams that were answered, by the call that each stands for and its gRPC code.",
    labels: ["method", "code"],
  });
  const seconds = meters.histogram({
    name: "stigmer_server_run_entry_seconds",
    help: "How long an entry of a runner's stream took to be stored.",
    labels: ["method"],
  });
  return async (called, work) => {
    const method = called.slice(called.lastIndexOf("/") + 1);
    const begun = performance.now();
    let code = "OK";
    try {
      return await work();
    } catch (error) {
      code = grpcNameOf(ConnectError.from(error).code);
      throw error;
    } finally {
      seconds.record((performance.now() - begun) / 1_000, { method });
      entries.add(1, { method, code });
    }
  };
}
