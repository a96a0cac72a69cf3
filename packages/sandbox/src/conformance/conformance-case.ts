// One promise of the port, as a test that any runner can run.
import assert from "node:assert/strict";
import { SandboxError, type SandboxErrorCode } from "../errors.ts";
import type { Sandbox, SandboxCapabilities } from "../sandbox.ts";

export interface ConformanceContext {
  /** Fresh, with an empty root. */
  readonly sandbox: Sandbox;
  /** Opens the same sandbox once more, by its id. */
  reopen(): Promise<Sandbox>;
  /** Added to the deadlines that are promises, for slow machines. */
  readonly slackMs: number;
  readonly declared: SandboxCapabilities;
}

export interface ConformanceCase {
  readonly name: string;
  /** Left out where the backend doesn't declare this. */
  readonly requires?: keyof SandboxCapabilities;
  run(context: ConformanceContext): Promise<void>;
}

/** A time-out or an abort takes effect within this. */
export const promptMs = 250;

/** Asserts that it rejects with a `SandboxError` of this code. */
export async function rejectsWith(code: SandboxErrorCode, operation: () => Promise<unknown>): Promise<void> {
  await assert.rejects(operation, (error: unknown) => {
    assert.ok(SandboxError.is(error), `Expected a SandboxError, got ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** Polls until the condition holds, and fails after 10 s. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `Waited 10 s in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
