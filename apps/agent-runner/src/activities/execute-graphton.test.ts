import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { AgentError, type RunControl } from "@stigmer/agent";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { ActivityStop, type ActivityContext } from "@stigmer/engine";
import {
  AgentExecutionSchema,
  ExecutionPhase,
  type AgentExecutionStatus,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { describe, expect, it } from "vitest";
import type { PreparedRun } from "../run/prepare-agent.ts";
import { createExecuteGraphton } from "./execute-graphton.ts";

// What is stored, under which fence and in which order, around an agent that does what a test says.

type Streams = (control: RunControl) => Promise<void>;

interface World {
  /** What the server was told, in order: `patch 7/1 IN_PROGRESS`, `whole PAUSED`. */
  readonly told: string[];
  run(streams: Streams, context?: Partial<ActivityContext>): Promise<AgentExecutionStatus>;
  readonly forgotten: string[];
  /** The last that was told, each time a run's record was closed. */
  readonly closedAfter: string[];
}

interface Options {
  readonly execution?: MessageInitShape<typeof AgentExecutionSchema>;
  /** Decides on each write; throws to refuse it. */
  readonly onWrite?: () => void | Promise<void>;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

function world({ execution: init, onWrite }: Options = {}): World {
  const told: string[] = [];
  const forgotten: string[] = [];
  const closedAfter: string[] = [];
  const execution = create(
    AgentExecutionSchema,
    init ?? { metadata: { id: "aex-1" }, spec: { sessionId: "ses-1", message: "hi" } },
  );
  const patchStatus = async ({
    fence: under,
    sequence,
    delta,
  }: {
    fence: number;
    sequence: number;
    delta: StatusDelta;
  }) => {
    await onWrite?.();
    told.push(`patch ${under}/${sequence}${phasesOf(delta)}`);
    return 1;
  };
  const clients = (fence?: number): object => ({
    executions: {
      get: async () => execution,
      updateStatus: async (_: string, status: AgentExecutionStatus) => {
        await onWrite?.();
        told.push(`whole ${nameOf(status.phase)}`);
        return execution;
      },
    },
    sessions: { get: async () => ({ metadata: { id: "ses-1" }, spec: { agentInstanceId: "ain-1" } }) },
    agentInstances: { get: async () => ({ spec: { agentId: "agt-1" } }) },
    agents: { get: async () => ({ metadata: { id: "agt-1" }, spec: {} }) },
    // One that knows no contexts.
    transport: createRouterTransport(() => {}),
    fence,
  });
  let streams: Streams = async () => {};
  const activity = createExecuteGraphton({
    client: {
      ...clients(),
      runner: {
        recordRun: () => ({
          patchStatus,
          close: () => {},
          [Symbol.dispose]: () => void closedAfter.push(told.at(-1) ?? ""),
        }),
        resolveRun: async () => undefined,
      },
      underFence: ({ fence }: { fence: number }) => clients(fence),
    } as unknown as StigmerClient,
    prepareAgent: async (): Promise<PreparedRun> => ({
      position: "fresh",
      messages: [],
      sandboxId: "sbx",
      skills: [],
      endProcesses: async () => {},
      model: "m",
      // oxlint-disable-next-line require-yield -- It ends or throws; what it tells is another test's.
      async *events(control = {}) {
        await streams(control);
      },
    }),
    ensureThread: async (sessionId) => `thread-of-${sessionId}`,
    localLedger: { forRun: () => ({}) as never, deleteRun: (id) => void forgotten.push(id) },
    statusUpdateEveryEvents: 10,
    logger: quiet,
    clock: () => new Date(0),
  });
  return {
    told,
    forgotten,
    closedAfter,
    run: (next, context) => {
      streams = next;
      return activity(execution, "thread-1", {
        fence: 7,
        attempt: 1,
        signal: new AbortController().signal,
        progressed: () => {},
        pause: new AbortController().signal,
        inbox: { items: [], subscribe: () => () => {} },
        ...context,
      });
    },
  };
}

function nameOf(phase: ExecutionPhase): string {
  return ExecutionPhase[phase].replace("EXECUTION_", "");
}

function phasesOf({ changes }: StatusDelta): string {
  return changes
    .map(({ change }) => {
      if (change.case !== "run") return "";
      return ` ${nameOf(change.value.phase)}${change.value.restsByItself ? " by itself" : ""}`;
    })
    .join("");
}

describe("a run's status", () => {
  it("is stored to its end, and then returned small", async () => {
    const { run, told, closedAfter, forgotten } = world();
    const status = await run(async () => {});
    expect(status).toMatchObject({ phase: ExecutionPhase.EXECUTION_COMPLETED, messages: [], toolCalls: [] });
    // The record is closed when the last word is stored.
    expect(told).toEqual(["patch 7/1 IN_PROGRESS", "patch 7/2 COMPLETED"]);
    expect(closedAfter).toEqual(["patch 7/2 COMPLETED"]);
    expect(forgotten).toEqual(["aex-1"]);
  });

  it("goes whole, and never by deltas, where the server knows no fences", async () => {
    const { run, told } = world();
    await run(async () => {}, { fence: 0 });
    expect(told.every((line) => line.startsWith("whole "))).toBe(true);
    expect(told.at(-1)).toBe("whole COMPLETED");
  });

  it("is FAILED before the failure is returned, whatever it was, and bounded", async () => {
    const { run, told } = world();
    const status = await run(async () => {
      throw new Error("x".repeat(100_000));
    });
    expect(told.at(-1)).toContain("FAILED");
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.error.length).toBeLessThan(5_000);
  });

  it("says that a run without a session can't be run", async () => {
    const { run, told } = world({ execution: { metadata: { id: "aex-9" }, spec: { message: "hi" } } });
    const status = await run(async () => {});
    expect(status.error).toBe("Session ID is required for execution aex-9");
    expect(told.at(-1)).toContain("FAILED");
  });

  it("is CANCELLED and returned when somebody asked for it", async () => {
    const { run, told } = world();
    const stop = new AbortController();
    const status = await run(
      async () => {
        stop.abort(new ActivityStop("cancelled", "not needed"));
        throw new Error("aborted");
      },
      { signal: stop.signal },
    );
    expect(status).toMatchObject({ phase: ExecutionPhase.EXECUTION_CANCELLED, error: "not needed" });
    expect(told.at(-1)).toContain("CANCELLED");
  });

  it("is left alone by a runner that hands the run back, or has lost it", async () => {
    for (const kind of ["draining", "lease-lost"] as const) {
      const { run, told, forgotten } = world();
      const stop = new ActivityStop(kind, "another one goes on");
      const control = new AbortController();
      const ended = run(
        async () => {
          control.abort(stop);
          throw new Error("aborted");
        },
        { signal: control.signal },
      );
      await expect(ended).rejects.toBe(stop);
      expect(told.join()).not.toMatch(/FAILED|CANCELLED|COMPLETED/);
      expect(forgotten).toEqual([]);
    }
  });

  it("is written no more once the fence is refused", async () => {
    const { run } = world({
      onWrite: () => {
        throw new ClientError("failed-precondition", "fence 7 is old");
      },
    });
    await expect(run(async () => {})).rejects.toMatchObject({ kind: "lease-lost", message: "fence 7 is old" });
  });
});

describe("a run that comes to rest", () => {
  it("is PAUSED, acknowledged, before the stop is thrown", async () => {
    const acknowledged = Promise.withResolvers<void>();
    const pausing = Promise.withResolvers<void>();
    let writes = 0;
    const { run, told } = world({
      onWrite: () => {
        writes += 1;
        if (writes === 1) return;
        pausing.resolve();
        return acknowledged.promise;
      },
    });
    const pause = new AbortController();
    const stop = new ActivityStop("paused", "let me look");
    let thrown = false;
    const ended = run(
      async (control) => {
        pause.abort(stop);
        throw control.pause?.reason;
      },
      { pause: pause.signal },
    ).catch((error: unknown) => {
      thrown = true;
      return error;
    });
    await pausing.promise;
    await new Promise((resolve) => setImmediate(resolve));
    expect(thrown).toBe(false);
    acknowledged.resolve();
    expect(await ended).toBe(stop);
    expect(told.at(-1)).toBe("patch 7/2 PAUSED");
  });

  it("says itself why, and counts on under the same fence", async () => {
    const { run, told, forgotten } = world();
    const look = async (): Promise<void> => {
      throw new AgentError("paused", "look at this");
    };
    await expect(run(look)).rejects.toMatchObject({ kind: "paused", message: "look at this" });
    expect(forgotten).toEqual([]);
    await run(async () => {});
    expect(told).toEqual([
      "patch 7/1 IN_PROGRESS",
      "patch 7/2 PAUSED by itself",
      "patch 7/3 IN_PROGRESS",
      "patch 7/4 COMPLETED",
    ]);
    const elsewhere = world();
    await expect(elsewhere.run(look)).rejects.toMatchObject({ kind: "paused" });
    await elsewhere.run(async () => {}, { fence: 8 });
    expect(elsewhere.told.slice(2)).toEqual(["patch 8/1 IN_PROGRESS", "patch 8/2 COMPLETED"]);
  });

  it("says that it rests by itself also when it was asked to pause at the same time", async () => {
    const { run, told } = world();
    const pause = AbortSignal.abort(new ActivityStop("paused", "let me look"));
    const ended = run(
      async () => {
        throw new AgentError("paused", "look at this");
      },
      { pause },
    );
    await expect(ended).rejects.toMatchObject({ kind: "paused", message: "look at this" });
    expect(told.at(-1)).toBe("patch 7/2 PAUSED by itself");
  });

  it("is left as it rests by a runner that gets it although it is to rest", async () => {
    const status = { phase: ExecutionPhase.EXECUTION_PAUSED };
    const spec = { sessionId: "ses-1", message: "hi" };
    const { run, told } = world({ execution: { metadata: { id: "aex-1" }, spec, status } });
    let began = false;
    const stop = new ActivityStop("paused", "It waits for a person.");
    const begin = async (): Promise<void> => void (began = true);
    await expect(run(begin, { pause: AbortSignal.abort(stop) })).rejects.toBe(stop);
    expect([began, told]).toEqual([false, []]);
    // One that goes on is told by nobody to rest.
    await run(begin);
    expect([began, told.at(-1)]).toEqual([true, "patch 7/2 COMPLETED"]);
  });
});

describe("a run that is spoken to", () => {
  it("gets what people say, and leaves decisions where they are", async () => {
    const items = [
      create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "be quick" } } }),
      create(InboxItemSchema, { id: "a1", item: { case: "approval", value: { toolCallId: "t1" } } }),
    ];
    let heard: unknown;
    await world().run(
      async ({ messages }) => {
        heard = messages?.();
        items.push(create(InboxItemSchema, { id: "m2", item: { case: "message", value: { text: "please" } } }));
        heard = [heard, messages?.()];
      },
      { inbox: { items, subscribe: () => () => {} } },
    );
    const first = { id: "m1", text: "be quick" };
    expect(heard).toEqual([[first], [first, { id: "m2", text: "please" }]]);
    expect(items.map(({ id }) => id)).toEqual(["m1", "a1", "m2"]);
  });
});
