import type { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { Activities } from "../contract.ts";
import type { Engine } from "../engine.ts";
import { type Check, createSubject } from "./engine-cases.ts";
import { engineLosses } from "./engine-losses.ts";
import { engineOrders } from "./engine-orders.ts";
import { engineRests } from "./engine-rests.ts";
import { engineRuns } from "./engine-runs.ts";
import type { TestFunctions } from "./test-functions.ts";

/**
 * An engine under test, with a server's part and runners to order. Attempts are to be given up after 3, and what its windows
 * and waits are is the fixture's choice: the suite only waits for things to happen.
 */
export interface EngineFixture {
  /** The engine of the server that runs now: another one after a restart. */
  readonly engine: Engine;
  /** Stores an execution as the create transaction does, without starting it. */
  submit(execution: { readonly id: string; readonly sessionId: string }): Promise<void>;
  /** Resolves when the runner takes work. */
  startRunner(options: { readonly activities: Activities; readonly maxConcurrency?: number }): Promise<RunnerUnderTest>;
  /** The ends that the engine reported so far, also past restarts. */
  readonly ends: readonly ReportedEnd[];
  /** Under which fence the server takes what is written for this execution. */
  fenceOf(executionId: string): Promise<number>;
  /** Stores, under this fence, a status that says that the execution rests by itself. */
  comeToRest(executionId: string, fence: number): Promise<void>;
  /** Whether the queue knows that the execution is to rest until somebody resumes it. */
  isPaused(executionId: string): Promise<boolean>;
  /** Whether the engine knows of the attempt under way that it has got ahead. Of a first attempt, which counts as one either way, always. */
  knowsProgress(executionId: string): Promise<boolean>;
  /** The engine's part in the server is closed and made anew over the same store; runners and their work stay. */
  restartServer(): Promise<void>;
  /** Ends what carries the runs and starts it again over its own data. Where that is the server: the same as above. */
  restartEngine(): Promise<void>;
  /** How long the suite waits for any one thing, in milliseconds. Default 20 000. */
  readonly patienceMs?: number;
  dispose(): Promise<void>;
}

export interface RunnerUnderTest {
  /** Ends it without a word, as a killed process does. Its activities are told nothing that matters any more. */
  crash(): Promise<void>;
  /** Nothing that it sends arrives, and nothing reaches it, until `reconnect`; its activities go on. */
  cutOff(): Promise<void>;
  reconnect(): Promise<void>;
  drain(options: { readonly deadlineMs: number }): Promise<void>;
}

export interface ReportedEnd {
  readonly executionId: string;
  readonly phase: ExecutionPhase;
  readonly error: string;
}

export interface EngineConformanceOptions extends TestFunctions {
  readonly name: string;
  readonly create: () => Promise<EngineFixture>;
}

/** Registers what every engine must do, whatever carries its tasks. */
export function engineConformance(options: EngineConformanceOptions): void {
  const { describe, it } = options;
  const check: Check = (name, body) =>
    it(name, async () => {
      const fixture = await options.create();
      try {
        await body(createSubject(fixture));
      } finally {
        await fixture.dispose();
      }
    });

  describe(`engine: ${options.name}`, () => {
    engineRuns(check);
    engineOrders(check);
    engineRests(check);
    engineLosses(check);
  });
}
