import type { CallObserver } from "@stigmer/agent";
import type { RunTiming } from "@stigmer/protos/agentexecution/v1";
import type { ReadTiming } from "@stigmer/status";

export interface RunTimingOptions {
  /** When the run was created. Times are milliseconds since 1970. */
  readonly createdAt: number;
  /** When this attempt began. */
  readonly begunAt: number;
  /** What earlier attempts have told. */
  readonly before: RunTiming | undefined;
  /** Names the attempt's span; empty when it is not traced. */
  readonly traceparent: string;
  readonly clock: () => Date;
}

/** Measures one attempt of a run. Every moment of it counts once, also where models and tools work side by side. */
export interface RunTimer {
  /** The agent is ready: what comes is work. */
  ready(): void;
  /** To be told of the agent's calls. */
  readonly observer: CallObserver;
  /** Where the time of the run went, over all its attempts. */
  readonly read: ReadTiming;
}

type Part = "setupMs" | "modelMs" | "toolsMs" | "otherMs";

export function createRunTimer({ createdAt, begunAt, before, traceparent, clock }: RunTimingOptions): RunTimer {
  const spent: Record<Part, number> = {
    setupMs: before?.setupMs ?? 0,
    modelMs: before?.modelMs ?? 0,
    toolsMs: before?.toolsMs ?? 0,
    otherMs: before?.otherMs ?? 0,
  };
  const isFirst = before === undefined || before.attempts === 0;
  const queuedMs = isFirst ? milliseconds(begunAt - createdAt) : before.queuedMs;
  let isReady = false;
  let models = 0;
  let tools = 0;
  let countedTo = begunAt;

  function part(): Part {
    if (!isReady) return "setupMs";
    if (models > 0) return "modelMs";
    return tools > 0 ? "toolsMs" : "otherMs";
  }

  function countTo(now: number): void {
    // A clock that was set back makes no negative times.
    spent[part()] += Math.max(0, now - countedTo);
    countedTo = now;
  }

  const moment = (): number => clock().getTime();
  return {
    ready() {
      countTo(moment());
      isReady = true;
    },
    observer: {
      modelCall() {
        countTo(moment());
        models += 1;
        return () => {
          countTo(moment());
          models -= 1;
        };
      },
      toolCall({ isTask }) {
        // Its sub-agent's own calls count.
        if (isTask) return () => {};
        countTo(moment());
        tools += 1;
        return () => {
          countTo(moment());
          tools -= 1;
        };
      },
    },
    read(now) {
      countTo(now);
      const parts = {
        setupMs: milliseconds(spent.setupMs),
        modelMs: milliseconds(spent.modelMs),
        toolsMs: milliseconds(spent.toolsMs),
        otherMs: milliseconds(spent.otherMs),
      };
      const worked = queuedMs + parts.setupMs + parts.modelMs + parts.toolsMs + parts.otherMs;
      // The clock of whoever stored the run may be another one.
      const totalMs = Math.max(worked, milliseconds(now - createdAt));
      const waitingMs = isFirst ? 0 : totalMs - worked;
      return {
        ...parts,
        queuedMs,
        waitingMs,
        totalMs: worked + waitingMs,
        attempts: (before?.attempts ?? 0) + 1,
        traceparent,
      };
    },
  };
}

/** As the wire has it: whole, not negative, 32 bits. */
function milliseconds(value: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.round(value) || 0));
}
