import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ToolCallClass } from "../../ledger-store.ts";
import { execution, task } from "./executions.ts";
import type { Subject } from "./index.ts";

/** One thing that a runner asks, or that happens to the run. `late`: under the fence of an earlier runner. */
type Step =
  | { readonly do: "begin"; readonly call: string; readonly class: ToolCallClass; readonly again: boolean; readonly late: boolean }
  | { readonly do: "finish"; readonly call: string; readonly result: number; readonly late: boolean }
  | { readonly do: "lose" | "lease" | "claim" | "restart" };

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
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("lose" as const, "claim" as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("lease" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

/** Steps of one group are asked at once. */
const groups = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });

/** What was answered so far about one call; the laws are told by it, without the states that a driver keeps. */
interface Told {
  /** Of each intent that was told to start: one effect each. */
  readonly started: readonly { readonly requestId: string; readonly fence: number; readonly class: ToolCallClass }[];
  readonly unknown: boolean;
  readonly result: number | undefined;
}

/** The run as far as the answers tell. */
interface Run {
  readonly fence: number;
  readonly held: boolean;
  readonly told: Readonly<Record<string, Told>>;
}

/** A step as it is asked. */
interface Asked {
  /** What the store says, in short. */
  readonly answer: () => Promise<unknown>;
  /** What it has to say to a run like this, and what the run is then. */
  readonly expected: (run: Run) => readonly [answer: unknown, after: Run];
}

let runs = 0;

/** Whatever happens in whatever order: an effect happens once, or is known to be unknown; a result stays what it is. */
export function ledgerSequences(subject: Subject): void {
  it("keeps its laws in every sequence of requests, losses, claims and restarts", async () => {
    await fc.assert(
      fc.asyncProperty(groups, async (sequence) => {
        const { ask, first } = await openRun(subject);
        // Several orders may explain the same answers; which it was shows later, if ever.
        let possible = [first];
        for (const group of sequence) {
          const asked = group.map((each) => ask(each, possible[0] ?? first));
          const answers = await Promise.all(asked.map(({ answer }) => answer()));
          possible = distinct(possible.flatMap((run) => explain(run, asked, answers)));
          const shown = `${JSON.stringify(answers)} in no order of ${JSON.stringify(group)}`;
          expect(possible.length, shown).toBeGreaterThan(0);
          if (group.some((each) => each.do === "restart")) await subject.reopen();
        }
        for (const [name, { started }] of possible.flatMap(({ told }) => Object.entries(told))) {
          const once = started.filter(({ class: toolClass }) => toolClass === "once");
          // A call that ran under `once` never runs again.
          expect(once.length === 0 || started.at(-1) === once[0], name).toBe(true);
        }
      }),
      { numRuns: subject.sequences },
    );
  }, 120_000);
}

/** What the run may be after the steps: after each order of them in which each would be answered as it was. */
function explain(run: Run, asked: readonly Asked[], answers: readonly unknown[]): Run[] {
  if (asked.length === 0) return [run];
  return asked.flatMap((each, index) => {
    const [answer, after] = each.expected(run);
    if (!isDeepStrictEqual(answer, answers[index])) return [];
    return explain(after, asked.toSpliced(index, 1), answers.toSpliced(index, 1));
  });
}

function distinct(possible: readonly Run[]): Run[] {
  return possible.filter((run, index) => possible.findIndex((other) => isDeepStrictEqual(run, other)) === index);
}

async function openRun(subject: Subject): Promise<{ readonly first: Run; ask(step: Step, run: Run): Asked }> {
  const id = `aex-sequence-${++runs}`;
  const lastRequest = new Map<string, string>();
  let requests = 0;
  const lease = () => subject.store.queue.lease({ queue: id, runnerId: "r1", now: 1, leaseMs: 1, maxAttempts: 999 });
  await subject.store.executions.insert(execution({ id }));
  await subject.store.tasks.enqueue(task(id, { queue: id, sessionId: "" }));
  await lease();

  function ask(asked: Step, { fence: known }: Run): Asked {
    switch (asked.do) {
      case "begin": {
        const { call: callKey, class: toolClass } = asked;
        const requestId = (asked.again && lastRequest.get(callKey)) || `q${++requests}`;
        lastRequest.set(callKey, requestId);
        const intent = { requestId, class: toolClass, fence: asked.late ? known - 1 : known };
        const now = requests;
        return {
          answer: async () => {
            const { fence } = intent;
            const begun = { executionId: id, fence, callKey, requestId, toolClass, toolName: "t", now };
            const start = await subject.store.ledger.begin(begun);
            return start.kind === "recorded" ? `recorded ${start.result.join()}` : start.kind;
          },
          expected: (run) => begin(run, callKey, intent),
        };
      }
      case "finish": {
        const given = { fence: asked.late ? known - 1 : known, result: asked.result };
        return {
          answer: async () => {
            const result = new Uint8Array([given.result]);
            const finished = { executionId: id, fence: given.fence, callKey: asked.call, result };
            return (await subject.store.ledger.finish(finished)).kind;
          },
          expected: (run) => finish(run, asked.call, given),
        };
      }
      case "lose":
        return {
          answer: async () => (await subject.store.queue.expire({ now: 9, failure: "lost" })).some((lost) => lost.id === id),
          expected: (run) => [run.held, { ...run, held: false }],
        };
      case "lease":
        return {
          answer: async () => (await lease())?.fence,
          expected: (run) => (run.held ? [undefined, run] : [run.fence + 1, { ...run, held: true, fence: run.fence + 1 }]),
        };
      case "claim": {
        const claimId = `claim ${++requests}`;
        return {
          answer: async () => (await subject.store.queue.claim({ taskId: id, claimId }))?.fence,
          expected: (run) => (run.held ? [run.fence + 1, { ...run, fence: run.fence + 1 }] : [undefined, run]),
        };
      }
      case "restart":
        return { answer: async () => "restarted", expected: (run) => ["restarted", run] };
    }
  }
  return { first: { fence: 1, held: true, told: {} }, ask };
}

const NOTHING: Told = { started: [], unknown: false, result: undefined };

/** What has to be answered, from what was answered before. */
function begin(run: Run, name: string, intent: Told["started"][number]): readonly [string, Run] {
  const told = run.told[name] ?? NOTHING;
  const after = (change: Partial<Told>): Run => ({ ...run, told: { ...run.told, [name]: { ...told, ...change } } });
  if (intent.fence !== run.fence) return ["stale-fence", run];
  if (!run.held) return ["not-held", run];
  if (told.result !== undefined) return [`recorded ${told.result}`, run];
  const earlier = told.started.at(-1);
  if (!told.unknown && earlier?.requestId === intent.requestId && earlier.fence === intent.fence) return ["started", run];
  const repeatable = [...told.started, intent].every(({ class: toolClass }) => toolClass === "repeatable");
  if (told.unknown || (earlier !== undefined && !repeatable)) return ["unknown", after({ unknown: true })];
  return ["started", after({ started: [...told.started, intent] })];
}

function finish(
  run: Run,
  name: string,
  given: { readonly fence: number; readonly result: number },
): readonly [string, Run] {
  const told = run.told[name] ?? NOTHING;
  if (given.fence !== run.fence) return ["stale-fence", run];
  if (told.result === undefined && told.unknown) return ["given-up", run];
  if (told.result === undefined && told.started.at(-1)?.fence !== run.fence) return ["not-begun", run];
  const result = told.result ?? given.result;
  return ["recorded", { ...run, told: { ...run.told, [name]: { ...told, result } } }];
}
