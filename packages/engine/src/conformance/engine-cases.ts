import { create } from "@bufbuild/protobuf";
import {
  type AgentExecution,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import type { Activities, ActivityContext } from "../contract.ts";
import type { Engine } from "../engine.ts";
import type { EngineFixture } from "./engine.ts";
import { until } from "./until.ts";

// What the cases of the suite are made of.

export type Check = (name: string, body: (subject: Subject) => Promise<void>) => unknown;

/** The fixture, in the words of the cases. */
export interface Subject {
  readonly fixture: EngineFixture;
  /** The engine that runs now. */
  engine(): Engine;
  /** Stores executions, given by id with their sessions, and starts them. */
  submit(executions: Readonly<Record<string, string>>): Promise<void>;
  /** Waits for as many ends. */
  ended(count: number): Promise<void>;
  until(condition: () => boolean | Promise<boolean>, what: string): Promise<void>;
  /** The promise's value, or an error that says what did not come. */
  soon<T>(promise: Promise<T>, what: string): Promise<T>;
}

export function createSubject(fixture: EngineFixture): Subject {
  const { patienceMs } = fixture;
  return {
    fixture,
    engine: () => fixture.engine,
    submit: async (executions) => {
      for (const [id, sessionId] of Object.entries(executions)) {
        await fixture.submit({ id, sessionId });
        await fixture.engine.start(id);
      }
    },
    ended: (count) => until(() => fixture.ends.length >= count, `${String(count)} ends`, patienceMs),
    until: (condition, what) => until(condition, what, patienceMs),
    soon: async (promise, what) => {
      let settled = false;
      const settle = (): void => void (settled = true);
      promise.then(settle, settle);
      await until(() => settled, what, patienceMs);
      return promise;
    },
  };
}

export type Run = (
  execution: AgentExecution,
  context: ActivityContext,
  threadId: string | undefined,
) => Promise<AgentExecutionStatus>;

export function activitiesOf(run: Run): Activities {
  return {
    ensureThread: async (sessionId) => `thread-${sessionId}`,
    executeGraphton: async (execution, threadId, context) => {
      // As every activity does: what was paused before its runner got it comes to rest before anything is done.
      context.pause.throwIfAborted();
      return run(execution, context, threadId);
    },
    cleanupSandbox: async () => {},
  };
}

export function idOf(execution: AgentExecution): string {
  return execution.metadata?.id ?? "";
}

export function status(phase: ExecutionPhase, error: string): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase, error });
}

export function completed(error = ""): AgentExecutionStatus {
  return status(ExecutionPhase.EXECUTION_COMPLETED, error);
}

/** The reason, once there is one. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

/** The ids of what is in the inbox, once there are so many. */
export function received({ inbox }: ActivityContext, count: number): Promise<string[]> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (inbox.items.length < count) return;
      unsubscribe();
      resolve(inbox.items.map(({ id }) => id));
    };
    const unsubscribe = inbox.subscribe(look);
    look();
  });
}
