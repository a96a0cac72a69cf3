// One promise of the port, as a test that any runner can run.
import assert from "node:assert/strict";
import { SandboxError, type SandboxErrorCode } from "../errors.ts";
import type { CommonSandboxOptions, NetworkPolicy, Sandbox, SandboxCapabilities, SandboxLimits } from "../sandbox.ts";

export interface ConformanceContext {
  /** Fresh, with an empty root. */
  readonly sandbox: Sandbox;
  /** Another one with an empty root, made as asked. Disposed after the test. */
  create(options: ConformanceWish): Promise<Sandbox>;
  /** One whose root has less than 32 MB left. Disposed after the test. */
  createOnSmallDisk(): Promise<Sandbox>;
  /** Opens the same sandbox once more, by its id. */
  reopen(): Promise<Sandbox>;
  /** Added to the deadlines that are promises, for slow machines. */
  readonly slackMs: number;
  readonly declared: SandboxCapabilities;
}

export interface ConformanceCase {
  readonly name: string;
  /** Left out where the backend doesn't declare this. */
  readonly requires?: ConformanceRequirement;
  /** Left out where the suite is not given one. */
  readonly needsFullDisk?: boolean;
  /** What it may take on a slow machine. Default 60,000. */
  readonly timeoutMs?: number;
  run(context: ConformanceContext): Promise<void>;
}

/** How a test wants its sandbox: what every backend's options share. */
export type ConformanceWish = Pick<CommonSandboxOptions, "id" | "network" | "limits">;

/** What a backend must have declared for a test to mean something. */
export interface ConformanceRequirement {
  /** As it is shown in the list of skipped tests. */
  readonly name: string;
  metBy(capabilities: SandboxCapabilities): boolean;
}

type BooleanCapability = {
  [Name in keyof SandboxCapabilities]: SandboxCapabilities[Name] extends boolean ? Name : never;
}[keyof SandboxCapabilities];

export const declares = (name: BooleanCapability): ConformanceRequirement => ({
  name,
  metBy: (capabilities) => capabilities[name],
});

export const keepsLimit = (limit: keyof SandboxLimits): ConformanceRequirement => ({
  name: `limits.${limit}`,
  metBy: ({ limits }) => limits.includes(limit),
});

export const keepsNetwork = (type: NetworkPolicy["type"]): ConformanceRequirement => ({
  name: `network "${type}"`,
  metBy: ({ network }) => network.includes(type),
});

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
