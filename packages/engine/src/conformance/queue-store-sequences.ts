import assert from "node:assert/strict";
import type { Arbitrary } from "fast-check";
import type { NewTask, QueuedTask, QueueStore } from "../embedded/queue-store.ts";
import type { QueueStoreFixture } from "./queue-store.ts";

// Random sequences of operations against a model of the port's law, kept as literal as the law's words.

/** One step. Times are small, so that steps meet; `fence` counts back from the task's current one. */
type Step =
  | { readonly op: "enqueue"; readonly id: number }
  | { readonly op: "lease"; readonly runner: number }
  | {
      readonly op: "end";
      readonly how: "complete" | "release" | "give-back";
      readonly id: number;
      readonly runner: number;
      readonly back: number;
    }
  | { readonly op: "renew"; readonly id: number; readonly runner: number; readonly back: number }
  | { readonly op: "cancel"; readonly id: number }
  | { readonly op: "discard"; readonly id: number; readonly back: number }
  | { readonly op: "expire" }
  | { readonly op: "recover" }
  | { readonly op: "look" };

interface ModelTask {
  readonly id: string;
  readonly sessionId: string;
  state: "waiting" | "leased" | "done";
  fence: number;
  attempt: number;
  runnerId: string;
  expiresAt: number;
  availableAt: number;
  cancelReason: string | undefined;
}

const maxAttempts = 3;
const leaseMs = 3;

export function queueStoreSequences(options: {
  readonly check: (name: string, body: (fixture: QueueStoreFixture) => Promise<void>) => unknown;
  readonly create: () => Promise<QueueStoreFixture>;
  readonly runs: number;
}): void {
  options.check("keeps its law over random sequences of operations", async () => {
    const { default: fc } = await import("fast-check");
    const id = fc.nat(5);
    const runner = fc.nat(1);
    const back = fc.constantFrom(0, 0, 0, 1);
    const step: Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ op: fc.constant("enqueue" as const), id }) },
      { weight: 6, arbitrary: fc.record({ op: fc.constant("lease" as const), runner }) },
      {
        weight: 5,
        arbitrary: fc.record({
          op: fc.constant("end" as const),
          how: fc.constantFrom("complete" as const, "release" as const, "give-back" as const),
          id,
          runner,
          back,
        }),
      },
      { weight: 2, arbitrary: fc.record({ op: fc.constant("renew" as const), id, runner, back }) },
      fc.record({ op: fc.constant("cancel" as const), id }),
      fc.record({ op: fc.constant("discard" as const), id, back }),
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constantFrom("expire" as const, "recover" as const, "look" as const) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const { queue, enqueue, dispose } = await options.create();
        try {
          const model = createModel();
          for (const [now, step] of steps.entries()) {
            assert.deepEqual(await perform(step, { queue, enqueue, model, now }), model.perform(step, now));
          }
          assert.deepEqual(
            await perform({ op: "look" }, { queue, enqueue, model, now: steps.length }),
            model.perform({ op: "look" }, steps.length),
          );
        } finally {
          await dispose();
        }
      }),
      { numRuns: options.runs },
    );
  });
}

interface Subject {
  readonly queue: QueueStore;
  readonly enqueue: (task: NewTask) => Promise<void>;
  readonly model: { fence(id: string): number };
  readonly now: number;
}

/** The step on the store; its answer in the words of the model. */
async function perform(step: Step, { queue, enqueue, model, now }: Subject): Promise<unknown> {
  const key = (step: { readonly id: number; readonly back: number }): { taskId: string; fence: number } => {
    const taskId = `t${String(step.id)}`;
    return { taskId, fence: model.fence(taskId) - step.back };
  };
  switch (step.op) {
    case "enqueue": {
      const id = `t${String(step.id)}`;
      const fixed = { kind: "execution", queue: "q", payload: new Uint8Array(), createdAt: now } as const;
      return enqueue({ id, sessionId: sessionOf(step.id), ...fixed });
    }
    case "lease":
      return pick(await queue.lease({ queue: "q", runnerId: `r${String(step.runner)}`, now, leaseMs, maxAttempts }));
    case "end": {
      const runnerId = `r${String(step.runner)}`;
      if (step.how === "complete") return queue.complete(key(step), runnerId);
      return queue.release(key(step), { runnerId, counted: step.how === "release", availableAt: now + 2 });
    }
    case "renew":
      return (
        await queue.renew({ runnerId: `r${String(step.runner)}`, leases: [key(step)], expiresAt: now + leaseMs })
      ).map(pick);
    case "cancel":
      return queue.requestCancel(`t${String(step.id)}`, `at ${String(now)}`);
    case "discard":
      return queue.discard(key(step));
    case "expire":
      return (await queue.expire({ now, failure: "lost" })).map(({ id }) => id).sort();
    case "recover":
      return queue.recover({ expiresAt: now + 2 });
    case "look": {
      const { waiting, leased } = await queue.counts();
      const stuck = (await queue.undeliverable({ maxAttempts })).map(({ id }) => id);
      return { waiting, leased, stuck, due: await queue.nextDue({ now }) };
    }
  }
}

function createModel(): { fence(id: string): number; perform(step: Step, now: number): unknown } {
  const tasks: ModelTask[] = [];
  const find = (id: number): ModelTask | undefined => tasks.find((task) => task.id === `t${String(id)}`);
  const isCurrent = (
    task: ModelTask | undefined,
    step: { readonly runner: number; readonly back: number },
  ): task is ModelTask => task?.state === "leased" && step.back === 0 && task.runnerId === `r${String(step.runner)}`;
  const deliverable = (task: ModelTask, now: number): boolean =>
    task.state === "waiting" &&
    task.availableAt <= now &&
    task.cancelReason === undefined &&
    task.attempt < maxAttempts &&
    (task.sessionId === "" ||
      tasks
        .slice(0, tasks.indexOf(task))
        .every((earlier) => earlier.sessionId !== task.sessionId || earlier.state === "done"));

  return {
    fence: (id) => tasks.find((task) => task.id === id)?.fence ?? 0,
    perform: (step, now) => {
      const task = "id" in step ? find(step.id) : undefined;
      switch (step.op) {
        case "enqueue": {
          const unclaimed = {
            fence: 0,
            attempt: 0,
            runnerId: "",
            expiresAt: 0,
            availableAt: 0,
            cancelReason: undefined,
          };
          if (!task)
            tasks.push({ id: `t${String(step.id)}`, sessionId: sessionOf(step.id), state: "waiting", ...unclaimed });
          return undefined;
        }
        case "lease": {
          const next = tasks.find((candidate) => deliverable(candidate, now));
          if (!next) return undefined;
          next.state = "leased";
          next.fence += 1;
          next.attempt += 1;
          next.runnerId = `r${String(step.runner)}`;
          next.expiresAt = now + leaseMs;
          return pick(next);
        }
        case "end": {
          if (isCurrent(task, step)) {
            task.state = step.how === "complete" ? "done" : "waiting";
            if (step.how !== "complete") task.availableAt = now + 2;
            if (step.how === "give-back") task.attempt -= 1;
          }
          return task?.state === (step.how === "complete" ? "done" : "waiting") && step.back === 0;
        }
        case "renew": {
          if (!isCurrent(task, step)) return [];
          task.expiresAt = now + leaseMs;
          return [pick(task)];
        }
        case "cancel": {
          if (task && task.state !== "done") task.cancelReason ??= `at ${String(now)}`;
          return task?.state ?? "unknown";
        }
        case "discard": {
          if (task?.state !== "waiting" || step.back !== 0) return false;
          task.state = "done";
          return true;
        }
        case "expire": {
          const expired = tasks.filter((candidate) => candidate.state === "leased" && candidate.expiresAt <= now);
          for (const candidate of expired) Object.assign(candidate, { state: "waiting", availableAt: 0 });
          return expired.map(({ id }) => id).sort();
        }
        case "recover": {
          const leased = tasks.filter((candidate) => candidate.state === "leased");
          for (const candidate of leased) candidate.expiresAt = now + 2;
          return leased.length;
        }
        case "look": {
          const waiting = tasks.filter((candidate) => candidate.state === "waiting");
          const leased = tasks.filter((candidate) => candidate.state === "leased");
          const stuck = waiting.filter(
            (candidate) => candidate.cancelReason !== undefined || candidate.attempt >= maxAttempts,
          );
          const times = [
            ...leased.map(({ expiresAt }) => expiresAt),
            ...waiting.map(({ availableAt }) => availableAt).filter((time) => time > now),
          ];
          return {
            waiting: waiting.length,
            leased: leased.length,
            stuck: stuck.map(({ id }) => id),
            due: times.length === 0 ? undefined : Math.min(...times),
          };
        }
      }
    },
  };
}

function sessionOf(id: number): string {
  return id < 2 ? "" : `s${String(id % 2)}`;
}

function pick(task: Pick<QueuedTask, "id" | "fence" | "attempt" | "runnerId" | "cancelReason"> | undefined): unknown {
  if (!task) return undefined;
  const { id, fence, attempt, runnerId, cancelReason } = task;
  return { id, fence, attempt, runnerId, cancelReason };
}
