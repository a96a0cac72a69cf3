import assert from "node:assert/strict";
import type { Arbitrary } from "fast-check";
import { AT_REST, type QueuedTask } from "../embedded/queue-store.ts";
import type { QueueStoreFixture } from "./queue-store.ts";

// Random sequences of operations against a model of the port's law, kept as literal as the law's words.

/** One step. Times are small, so that steps meet; `fence` counts back from the task's current one. */
type Step =
  | { readonly op: "enqueue"; readonly id: number }
  | { readonly op: "lease"; readonly runner: number; readonly maxPerOrg: number | undefined }
  | {
      readonly op: "end";
      readonly how: "complete" | "release" | "give-back" | "rest";
      readonly id: number;
      readonly runner: number;
      readonly back: number;
    }
  | {
      readonly op: "renew";
      readonly id: number;
      readonly runner: number;
      readonly back: number;
      readonly progressed: boolean;
    }
  | { readonly op: "cancel" | "pause" | "resume" | "finish"; readonly id: number }
  | { readonly op: "deliver" | "claim"; readonly id: number; readonly name: number }
  | { readonly op: "discard" | "come-to-rest"; readonly id: number; readonly back: number }
  | { readonly op: "expire" }
  | { readonly op: "recover" }
  | { readonly op: "look" };

interface ModelTask {
  readonly id: string;
  readonly sessionId: string;
  readonly org: string;
  state: "waiting" | "leased" | "done";
  fence: number;
  attempt: number;
  runnerId: string;
  expiresAt: number;
  availableAt: number;
  cancelReason: string | undefined;
  pauseReason: string | undefined;
  claimId: string;
  inbox: string[];
  /** The run was stored as one that rests by itself, and whether that was answered. */
  atRest: "unanswered" | "answered" | undefined;
}

const taskIds = Array.from({ length: 6 }, (_, index) => `t${String(index)}`);
const maxAttempts = 3;
const leaseMs = 3;

export function queueStoreSequences(options: {
  readonly check: (name: string, body: (fixture: QueueStoreFixture) => Promise<void>) => unknown;
  readonly create: () => Promise<QueueStoreFixture>;
  readonly runs: number;
}): void {
  options.check("keeps its law over random sequences of operations", async () => {
    const { default: fc } = await import("fast-check");
    const id = fc.nat(taskIds.length - 1);
    const runner = fc.nat(1);
    const back = fc.constantFrom(0, 0, 0, 1);
    const maxPerOrg = fc.constantFrom(undefined, undefined, 1, 2);
    const step: Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ op: fc.constant("enqueue" as const), id }) },
      { weight: 6, arbitrary: fc.record({ op: fc.constant("lease" as const), runner, maxPerOrg }) },
      {
        weight: 5,
        arbitrary: fc.record({
          op: fc.constant("end" as const),
          how: fc.constantFrom("complete" as const, "release" as const, "give-back" as const, "rest" as const),
          id,
          runner,
          back,
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constant("renew" as const), id, runner, back, progressed: fc.boolean() }),
      },
      fc.record({ op: fc.constantFrom("cancel" as const, "finish" as const), id }),
      { weight: 3, arbitrary: fc.record({ op: fc.constantFrom("pause" as const, "resume" as const), id }) },
      {
        weight: 3,
        arbitrary: fc.record({ op: fc.constantFrom("deliver" as const, "claim" as const), id, name: fc.nat(2) }),
      },
      fc.record({ op: fc.constant("discard" as const), id, back }),
      { weight: 3, arbitrary: fc.record({ op: fc.constant("come-to-rest" as const), id, back }) },
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constantFrom("expire" as const, "recover" as const, "look" as const) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const { queue, enqueue, comeToRest, dispose } = await options.create();
        try {
          const model = createModel();
          for (const [now, step] of steps.entries()) {
            assert.deepEqual(await perform(step, { queue, enqueue, comeToRest, model, now }), model.perform(step, now));
          }
          assert.deepEqual(
            await perform({ op: "look" }, { queue, enqueue, comeToRest, model, now: steps.length }),
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

interface Subject extends Omit<QueueStoreFixture, "dispose"> {
  readonly model: { fence(id: string): number };
  readonly now: number;
}

/** The step on the store; its answer in the words of the model. */
async function perform(step: Step, { queue, enqueue, comeToRest, model, now }: Subject): Promise<unknown> {
  const key = (step: { readonly id: number; readonly back: number }): { taskId: string; fence: number } => {
    const taskId = `t${String(step.id)}`;
    return { taskId, fence: model.fence(taskId) - step.back };
  };
  switch (step.op) {
    case "enqueue": {
      const id = `t${String(step.id)}`;
      const fixed = { kind: "execution", queue: "q", payload: new Uint8Array(), createdAt: now } as const;
      return enqueue({ id, sessionId: sessionOf(step.id), org: orgOf(step.id), ...fixed });
    }
    case "lease": {
      const { maxPerOrg } = step;
      const runnerId = `r${String(step.runner)}`;
      return pick(await queue.lease({ queue: "q", runnerId, now, leaseMs, maxAttempts, maxPerOrg }));
    }
    case "end": {
      const runnerId = `r${String(step.runner)}`;
      if (step.how === "complete") return queue.complete(key(step), runnerId);
      const counted = step.how === "release";
      const rest = step.how === "rest" ? { pauseReason: `rests at ${String(now)}` } : {};
      return queue.release(key(step), { runnerId, counted, availableAt: now + 2, ...rest });
    }
    case "renew":
      return (
        await queue.renew({
          runnerId: `r${String(step.runner)}`,
          leases: [{ ...key(step), progressed: step.progressed }],
          expiresAt: now + leaseMs,
        })
      ).map(pick);
    case "cancel":
      return queue.requestCancel(`t${String(step.id)}`, `at ${String(now)}`);
    case "pause":
      return queue.pause(`t${String(step.id)}`, `at ${String(now)}`);
    case "resume":
      return queue.resume(`t${String(step.id)}`);
    case "finish":
      return queue.end(`t${String(step.id)}`);
    case "deliver": {
      const payload = new TextEncoder().encode(`at ${String(now)}`);
      return queue.deliver(`t${String(step.id)}`, { id: `i${String(step.name)}`, payload });
    }
    case "claim":
      return pick(await queue.claim({ taskId: `t${String(step.id)}`, claimId: `c${String(step.name)}` }));
    case "discard":
      return queue.discard(key(step));
    case "come-to-rest":
      return comeToRest(key(step));
    case "expire":
      return (await queue.expire({ now, failure: "lost" })).map(({ id }) => id).sort();
    case "recover":
      return queue.recover({ expiresAt: now + 2 });
    case "look": {
      const { waiting, paused, leased } = await queue.counts();
      const stuck = (await queue.undeliverable({ maxAttempts })).map(({ id }) => id);
      const held = await Promise.all(["r0", "r1"].map(async (runner) => (await queue.leasedTo(runner)).map(pick)));
      const inboxes = await Promise.all(taskIds.map((taskId) => queue.inbox(taskId, { seen: 1 })));
      const unseen = inboxes.map((items) =>
        items.map(({ id, payload }) => `${id} ${new TextDecoder().decode(payload)}`),
      );
      return { waiting, paused, leased, stuck, held, unseen, due: await queue.nextDue({ now }) };
    }
  }
}

function createModel(): { fence(id: string): number; perform(step: Step, now: number): unknown } {
  const tasks: ModelTask[] = [];
  const end = (task: ModelTask): void => {
    task.state = "done";
    task.inbox = [];
  };
  /** The lease has ended without an outcome. */
  const wait = (task: ModelTask, uncounted: boolean, pauseReason?: string): void => {
    task.state = "waiting";
    if (uncounted || task.atRest === "unanswered") task.attempt -= 1;
    if (task.atRest === "unanswered") task.pauseReason ??= pauseReason ?? AT_REST;
    else if (!task.atRest) task.pauseReason ??= pauseReason;
    task.atRest = undefined;
  };
  /** Something is asked of the task. */
  const ask = (task: ModelTask): void => {
    if (task.atRest) task.atRest = "answered";
  };
  const find = (id: number): ModelTask | undefined => tasks.find((task) => task.id === `t${String(id)}`);
  const isCurrent = (
    task: ModelTask | undefined,
    step: { readonly runner: number; readonly back: number },
  ): task is ModelTask => task?.state === "leased" && step.back === 0 && task.runnerId === `r${String(step.runner)}`;
  const deliverable = (task: ModelTask, now: number): boolean =>
    task.state === "waiting" &&
    task.availableAt <= now &&
    task.cancelReason === undefined &&
    task.pauseReason === undefined &&
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
            claimId: "",
          };
          const id = `t${String(step.id)}`;
          const unasked = { cancelReason: undefined, pauseReason: undefined, inbox: [], atRest: undefined };
          const owner = { sessionId: sessionOf(step.id), org: orgOf(step.id) };
          if (!task) tasks.push({ id, ...owner, state: "waiting", ...unclaimed, ...unasked });
          return undefined;
        }
        case "lease": {
          const live = ({ org }: ModelTask): number =>
            tasks.filter((other) => other.org === org && other.state === "leased").length;
          const allowed = tasks.filter(
            (candidate) =>
              deliverable(candidate, now) &&
              (candidate.org === "" || step.maxPerOrg === undefined || live(candidate) < step.maxPerOrg),
          );
          const fewest = Math.min(...allowed.map(live));
          const next = allowed.find((candidate) => live(candidate) === fewest);
          if (!next) return undefined;
          next.state = "leased";
          next.fence += 1;
          next.attempt += 1;
          next.runnerId = `r${String(step.runner)}`;
          next.expiresAt = now + leaseMs;
          next.claimId = "";
          return pick(next);
        }
        case "end": {
          if (isCurrent(task, step)) {
            const uncounted = step.how === "give-back" || step.how === "rest";
            if (step.how === "complete") end(task);
            else wait(task, uncounted, step.how === "rest" ? `rests at ${String(now)}` : undefined);
            task.availableAt = now + 2;
          }
          return task?.state === (step.how === "complete" ? "done" : "waiting") && step.back === 0;
        }
        case "renew": {
          if (!isCurrent(task, step)) return [];
          task.expiresAt = now + leaseMs;
          if (step.progressed) task.attempt = 1;
          return [pick(task)];
        }
        case "cancel": {
          if (task && task.state !== "done") {
            task.cancelReason ??= `at ${String(now)}`;
            ask(task);
          }
          return task?.state ?? "unknown";
        }
        case "pause": {
          if (task && task.state !== "done") {
            task.pauseReason ??= `at ${String(now)}`;
            ask(task);
          }
          return task?.state ?? "unknown";
        }
        case "resume": {
          if (task && task.state !== "done") {
            task.pauseReason = undefined;
            ask(task);
          }
          return task?.state ?? "unknown";
        }
        case "deliver": {
          const isNew = task?.inbox.every((item) => !item.startsWith(`i${String(step.name)} `));
          if (isNew && task?.state !== "done") task?.inbox.push(`i${String(step.name)} at ${String(now)}`);
          return task?.state ?? "unknown";
        }
        case "claim": {
          if (task?.state !== "leased") return undefined;
          if (task.claimId !== `c${String(step.name)}`) task.fence += 1;
          task.claimId = `c${String(step.name)}`;
          return pick(task);
        }
        case "finish": {
          if (!task || task.state === "done") return false;
          end(task);
          return true;
        }
        case "discard": {
          if (task?.state !== "waiting" || step.back !== 0) return false;
          end(task);
          return true;
        }
        case "come-to-rest": {
          if (step.back !== 0 || !task || task.state === "done") return undefined;
          if (task.state === "leased") task.atRest = "unanswered";
          else task.pauseReason ??= AT_REST;
          return undefined;
        }
        case "expire": {
          const expired = tasks.filter((candidate) => candidate.state === "leased" && candidate.expiresAt <= now);
          for (const candidate of expired) {
            wait(candidate, false);
            candidate.availableAt = 0;
          }
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
          const paused = waiting.filter((candidate) => candidate.pauseReason !== undefined);
          const runnable = waiting.filter((candidate) => candidate.pauseReason === undefined);
          const times = [
            ...leased.map(({ expiresAt }) => expiresAt),
            ...runnable.map(({ availableAt }) => availableAt).filter((time) => time > now),
          ];
          return {
            waiting: runnable.length,
            paused: paused.length,
            leased: leased.length,
            stuck: stuck.map(({ id }) => id),
            held: ["r0", "r1"].map((runner) => leased.filter(({ runnerId }) => runnerId === runner).map(pick)),
            unseen: taskIds.map((id) => tasks.find((candidate) => candidate.id === id)?.inbox.slice(1) ?? []),
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

function orgOf(id: number): string {
  return ["", "acme", "globex"][id % 3] ?? "";
}

type Picked = Pick<QueuedTask, "id" | "fence" | "attempt" | "runnerId" | "cancelReason" | "pauseReason">;

function pick(task: Picked | undefined): Picked | undefined {
  if (!task) return undefined;
  const { id, fence, attempt, runnerId, cancelReason, pauseReason } = task;
  return { id, fence, attempt, runnerId, cancelReason, pauseReason };
}
