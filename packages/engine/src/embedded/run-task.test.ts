import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";
import { LeaseSchema, ReleaseHold, RunPartsSchema } from "@stigmer/protos/runner/v1";
import { describe, expect, it } from "vitest";
import type { ActivityContext } from "../contract.ts";
import { ActivityStop, type ActivityStopKind } from "../errors.ts";
import { createRunInbox } from "./run-inbox.ts";
import { runTask, type TaskEnd } from "./run-task.ts";

const lease = create(LeaseSchema, {
  taskId: "aex-1",
  fence: 1,
  task: { case: "agentExecution", value: { execution: { metadata: { id: "aex-1" }, spec: { sessionId: "s" } } } },
});

/** The end of an activity that throws this after it was told that. */
function endOf(
  thrown: unknown,
  { told, pause }: { readonly told?: ActivityStopKind; readonly pause?: boolean } = {},
): Promise<TaskEnd> {
  const controller = new AbortController();
  const pausing = new AbortController();
  const inbox = createRunInbox([], () => {});
  const activities = {
    ensureThread: async () => "thread",
    executeGraphton: async () => {
      if (told) controller.abort(new ActivityStop(told, `told ${told}`));
      if (pause) pausing.abort(new ActivityStop("paused", "told to pause"));
      if (thrown === undefined) return create(AgentExecutionStatusSchema);
      throw thrown === "as told" ? pausing.signal.reason : thrown;
    },
    cleanupSandbox: async () => {},
  };
  return runTask(lease, activities, {
    fence: 1,
    attempt: 1,
    progressed: () => {},
    signal: controller.signal,
    pause: pausing.signal,
    inbox,
  });
}

const rests = new ActivityStop("paused", "waits for a decision");

describe("what a run is made from", () => {
  it.each([undefined, create(RunPartsSchema, { session: { metadata: { id: "ses-1" } } })])(
    "goes from the lease to the activity",
    async (parts) => {
      const execution = { metadata: { id: "aex-1" }, spec: { sessionId: "ses-1" } };
      const whole = create(LeaseSchema, {
        taskId: "aex-1",
        task: { case: "agentExecution", value: { execution, parts } },
      });
      const given: unknown[] = [];
      const activities = {
        ensureThread: async () => "thread",
        executeGraphton: async (_execution: unknown, _thread: unknown, context: ActivityContext) => {
          given.push(context.parts);
          return create(AgentExecutionStatusSchema);
        },
        cleanupSandbox: async () => {},
      };
      const signal = new AbortController().signal;
      const inbox = createRunInbox([], () => {});
      await runTask(whole, activities, { fence: 1, attempt: 1, progressed: () => {}, signal, pause: signal, inbox });
      expect(given).toEqual([parts]);
    },
  );
});

describe("how a task ends", () => {
  it.each<[string, unknown, Parameters<typeof endOf>[1], unknown]>([
    ["a return is its outcome", undefined, {}, { kind: "ended", outcome: { case: "status" } }],
    ["also past a pause", undefined, { pause: true }, { kind: "ended", outcome: { case: "status" } }],
    ["an error is a failure to repeat", new Error("disk full"), {}, { outcome: { value: { retryable: true } } }],
    ["also past a pause", new Error("disk full"), { pause: true }, { outcome: { value: { message: "disk full" } } }],
    ["a rest of its own", rests, {}, { kind: "rested", hold: ReleaseHold.PAUSED_ITSELF, reason: rests.message }],
    ["a rest that was asked for", "as told", { pause: true }, { kind: "rested", hold: ReleaseHold.PAUSE_REQUESTED }],
    [
      "a rest of its own that met one that was asked for",
      rests,
      { pause: true },
      { kind: "rested", hold: ReleaseHold.PAUSED_ITSELF, reason: rests.message },
    ],
    ["a rest while the runner drains", rests, { told: "draining" }, { kind: "rested" }],
    ["a rest in spite of a cancel, which the server settles", rests, { told: "cancelled" }, { kind: "rested" }],
    ["a rest of what is somebody else's", rests, { told: "lease-lost" }, { kind: "lost" }],
    ["an echo of a drain", new Error("aborted"), { told: "draining" }, { kind: "handed-back" }],
    ["an echo of a loss", new Error("aborted"), { told: "lease-lost" }, { kind: "lost" }],
    [
      "an echo of a cancel",
      new Error("aborted"),
      { told: "cancelled" },
      { outcome: { value: { error: "told cancelled" } } },
    ],
  ])("%s", async (_name, thrown, told, end) => {
    expect(await endOf(thrown, told)).toMatchObject(end as object);
  });
});
