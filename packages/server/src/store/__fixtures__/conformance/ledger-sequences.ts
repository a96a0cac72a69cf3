import fc from "fast-check";
import { expect, it } from "vitest";
import type { ToolCallClass, ToolCallEnd, ToolCallStart } from "../../ledger-store.ts";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";

/** One thing that a runner asks, or that happens to the run. `late`: under the fence of an earlier runner. */
type Step =
  | { readonly do: "begin"; readonly call: string; readonly class: ToolCallClass; readonly again: boolean; readonly late: boolean }
  | { readonly do: "finish"; readonly call: string; readonly result: number; readonly late: boolean }
  | { readonly do: "lose" | "take over" | "claim" | "restart" };

const call = fc.constantFrom("once", "again");
const late = fc.integer({ min: 0, max: 5 }).map((value) => value === 0);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("begin" as const),
      call,
      class: fc.constantFrom<ToolCallClass>("once", "repeatable"),
      again: fc.boolean(),
      late,
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("finish" as const), call, result: fc.nat(255), late }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("take over" as const, "claim" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("lose" as const, "restart" as const) }) },
);

/** Steps of one group are asked at once. */
const groups = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });

/** What was answered so far about one call; the laws are told by it, without the states that a driver keeps. */
interface Told {
  /** Of each intent that was told to start: one effect each. */
  readonly started: { readonly requestId: string; readonly fence: number; readonly class: ToolCallClass }[];
  unknown: boolean;
  result: number | undefined;
}

let runs = 0;

/** Whatever happens in whatever order: an effect happens once, or is known to be unknown; a result stays what it is. */
export function ledgerSequences(subject: Subject): void {
  it("keeps its laws in every sequence of requests, losses, claims and restarts", async () => {
    await fc.assert(
      fc.asyncProperty(groups, async (sequence) => {
        const run = await openRun(subject);
        for (const group of sequence) {
          await Promise.all(group.map((each) => run.take(each)));
          if (group.some((each) => each.do === "restart")) await subject.reopen();
        }
        for (const [name, told] of run.told) {
          const once = told.started.filter(({ class: toolClass }) => toolClass === "once");
          // A call that ran under `once` never runs again.
          expect(once.length === 0 || told.started.at(-1) === once[0], name).toBe(true);
        }
      }),
      { numRuns: 120 },
    );
  }, 60_000);
}

async function openRun(subject: Subject): Promise<{ readonly told: Map<string, Told>; take(step: Step): Promise<void> }> {
  const id = `aex-sequence-${++runs}`;
  const told = new Map<string, Told>();
  const lastRequest = new Map<string, string>();
  let requests = 0;
  let fence = 1;
  let held = true;
  const leaseIt = () => subject.store.queue.lease({ queue: id, runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 999 });
  await subject.store.executions.insert(execution({ id }));
  await subject.store.tasks.enqueue(task(id, { queue: id, sessionId: "" }));
  await leaseIt();

  const toldOf = (name: string): Told => {
    const known = told.get(name) ?? { started: [], unknown: false, result: undefined };
    told.set(name, known);
    return known;
  };

  /** What has to be answered, from what was answered before. Called in the order in which the store is asked. */
  function expectedStart(known: Told, intent: Told["started"][number]): Partial<ToolCallStart> {
    if (intent.fence !== fence) return { kind: "stale-fence", currentFence: fence };
    if (!held) return { kind: "not-held" };
    if (known.result !== undefined) return { kind: "recorded", result: new Uint8Array([known.result]) };
    const earlier = known.started.at(-1);
    if (!known.unknown && earlier?.requestId === intent.requestId && earlier.fence === intent.fence) {
      return { kind: "started" };
    }
    const repeatable = [...known.started, intent].every(({ class: toolClass }) => toolClass === "repeatable");
    known.unknown ||= earlier !== undefined && !repeatable;
    if (known.unknown) return { kind: "unknown" };
    known.started.push(intent);
    return { kind: "started" };
  }

  function expectedEnd(known: Told, given: { readonly fence: number; readonly result: number }): ToolCallEnd {
    if (given.fence !== fence) return { kind: "stale-fence", currentFence: fence };
    if (known.result === undefined && known.unknown) return { kind: "given-up" };
    if (known.result === undefined && known.started.at(-1)?.fence !== fence) return { kind: "not-begun" };
    known.result ??= given.result;
    return { kind: "recorded" };
  }

  async function take(taken: Step): Promise<void> {
    switch (taken.do) {
      case "begin": {
        const { call: callKey, class: toolClass } = taken;
        const requestId = (taken.again && lastRequest.get(callKey)) || `q${++requests}`;
        lastRequest.set(callKey, requestId);
        const intent = { requestId, class: toolClass, fence: taken.late ? fence - 1 : fence };
        const answer = subject.store.ledger.begin({
          executionId: id,
          fence: intent.fence,
          callKey,
          requestId,
          toolClass,
          toolName: "t",
          now: requests,
        });
        const expected = expectedStart(toldOf(callKey), intent);
        expect(await answer).toMatchObject(expected);
        return;
      }
      case "finish": {
        const given = { fence: taken.late ? fence - 1 : fence, result: taken.result };
        const result = new Uint8Array([taken.result]);
        const answer = subject.store.ledger.finish({ executionId: id, fence: given.fence, callKey: taken.call, result });
        const expected = expectedEnd(toldOf(taken.call), given);
        expect(await answer).toEqual(expected);
        return;
      }
      case "lose":
        held = false;
        await subject.store.queue.expire({ now: 9, failure: "lost" });
        return;
      case "take over": {
        const lost = subject.store.queue.expire({ now: 9, failure: "lost" });
        const taken = leaseIt();
        held = true;
        fence += 1;
        await Promise.all([lost, taken]);
        return;
      }
      case "claim": {
        const claimed = subject.store.queue.claim({ taskId: id, claimId: `claim ${fence}` });
        if (held) fence += 1;
        await claimed;
        return;
      }
      case "restart":
        return;
    }
  }
  return { told, take };
}
