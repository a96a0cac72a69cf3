import { neverBegun } from "./never-begun.ts";
import type { ToolCallClass, ToolCallLedger } from "./tool-call-ledger.ts";

interface Entry {
  readonly toolClass: ToolCallClass;
  readonly begunAt: string;
  result?: Uint8Array;
}

/**
 * A ledger of one run that lasts as long as this process: for tests and examples, and for runs that are stopped and taken
 * up again by the process that began them.
 */
export function createMemoryLedger(): ToolCallLedger {
  const calls = new Map<string, Entry>();
  return {
    async begin({ callKey, toolClass }, signal) {
      signal?.throwIfAborted();
      const known = calls.get(callKey);
      if (known === undefined) {
        calls.set(callKey, { toolClass, begunAt: new Date().toISOString() });
        return { kind: "started" };
      }
      if (known.result !== undefined) return { kind: "recorded", result: known.result };
      if (known.toolClass === "repeatable" && toolClass === "repeatable") return { kind: "started" };
      return { kind: "outcome-unknown", begunAt: known.begunAt };
    },
    async finish(callKey, result) {
      const known = calls.get(callKey);
      if (known === undefined) throw neverBegun(callKey);
      known.result ??= result.slice();
    },
  };
}
