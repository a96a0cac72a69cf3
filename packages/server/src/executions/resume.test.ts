import { clone, equals } from "@bufbuild/protobuf";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  type AgentExecutionStatus,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold } from "@stigmer/status";
import fc from "fast-check";
import { expect, it } from "vitest";
import { deltaOf, moved, type OpenRuns, openRuns, RUN, said } from "./__fixtures__/open-runs.ts";

/** One thing that happens to a run, or to its server. */
type Step =
  | { readonly do: "say"; readonly message: number; readonly text: string }
  | { readonly do: "call"; readonly id: number; readonly status: number }
  | { readonly do: "plan"; readonly items: readonly string[] }
  | { readonly do: "use"; readonly tokens: number }
  | { readonly do: "take back"; readonly message: number }
  | { readonly do: "report whole"; readonly error: string }
  | { readonly do: "restart" }
  | { readonly do: "take over" };

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const message = fc.nat(2);

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("say" as const), message, text }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("call" as const), id: fc.nat(2), status: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("plan" as const), items: fc.array(text, { maxLength: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("use" as const), tokens: fc.nat(1000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("take back" as const), message }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("report whole" as const), error: text }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("take over" as const) }) },
  ),
  { minLength: 1, maxLength: 25 },
);

it("whoever resumes after any revision ends with the stored status, whatever happened", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), fc.constantFrom(60, 1_000_000), async (sequence, ends, compactAfterBytes) => {
      const open = openRuns({ compactAfterBytes });
      try {
        await open.addRun();
        const seen = await play(open, sequence, ends);
        const stored = await open.runs.read(RUN);
        if (!stored) throw new Error("The run is gone.");
        expect(stored.revision).toBe(seen.length);
        expect(same(seen.at(-1)!, stored)).toBe(true);
        await open.restart();
        for (const [index, status] of seen.entries()) {
          const resumed = await resume(open, { status, revision: index + 1, until: stored.revision });
          expect(same(resumed, stored), `resumed after revision ${index + 1}`).toBe(true);
        }
      } finally {
        await open.dispose();
      }
    }),
    { numRuns: 40 },
  );
}, 60_000);

/** Answers the status after each revision, the first at index 0, folded apart from the server. */
async function play(open: OpenRuns, sequence: readonly Step[], ends: boolean): Promise<AgentExecutionStatus[]> {
  const initial = await open.runs.read(RUN);
  const fold = createStatusFold(initial);
  const seen = [clone(AgentExecutionStatusSchema, fold.status)];
  let fence = await open.lease();
  let count = 0;

  const patch = async (delta: StatusDelta): Promise<void> => {
    count += 1;
    const sent = { executionId: RUN, fence, sequence: count, delta };
    await open.runs.patch(sent);
    // A runner that got no answer sends again.
    expect(await open.runs.patch(sent)).toBe(seen.length + 1);
    fold.apply(delta);
    seen.push(clone(AgentExecutionStatusSchema, fold.status));
  };

  for (const step of sequence) {
    if (step.do === "restart") await open.restart();
    else if (step.do === "take over") {
      await open.store.queue.release({ taskId: RUN, fence }, { runnerId: "r", counted: true, availableAt: 0 });
      fence = await open.lease();
      count = 0;
    } else if (step.do === "report whole") {
      const reported = clone(AgentExecutionStatusSchema, fold.status);
      reported.error = step.error;
      await open.runs.merge(RUN, reported);
      fold.apply(deltaOf({ change: { case: "merged", value: reported } }));
      seen.push(clone(AgentExecutionStatusSchema, fold.status));
    } else await patch(deltaFor(step, fold.status));
  }
  if (ends) {
    const completed = deltaOf({
      change: { case: "run", value: { phase: ExecutionPhase.EXECUTION_COMPLETED, completedAt: "t" } },
    });
    await patch(completed);
  }
  return seen;
}

type PatchStep = Exclude<Step, { do: "restart" | "take over" | "report whole" }>;

function deltaFor(step: PatchStep, status: AgentExecutionStatus): StatusDelta {
  const current = (index: number) => status.messages.find(({ id }) => id === `m${index}`);
  switch (step.do) {
    case "say": {
      const offset = Buffer.byteLength(current(step.message)?.content ?? "");
      return deltaOf(...said(`m${step.message}`, step.text, offset), ...moved(ExecutionPhase.EXECUTION_IN_PROGRESS));
    }
    case "call": {
      const messageId = status.messages[0]?.id ?? "";
      const call = { id: `c${step.id}`, name: "t", status: step.status };
      return deltaOf({ change: { case: "toolCall", value: { messageId, call } } });
    }
    case "plan": {
      const todos = Object.fromEntries(step.items.map((content, index) => [`t${index}`, { id: `t${index}`, content }]));
      return deltaOf({ change: { case: "todos", value: { todos } } });
    }
    case "use":
      return deltaOf({ change: { case: "usage", value: { inputTokens: step.tokens } } });
    case "take back":
      return deltaOf({ change: { case: "messageRemoved", value: { messageId: `m${step.message}` } } });
  }
}

async function resume(
  open: OpenRuns,
  { status, revision, until }: { status: AgentExecutionStatus; revision: number; until: number },
): Promise<AgentExecutionStatus> {
  const controller = new AbortController();
  let fold = createStatusFold(status);
  let at = revision;
  const options = { mode: "deltas", afterRevision: revision, signal: controller.signal } as const;
  if (at === until) return fold.status;
  for await (const event of open.runs.follow(RUN, options)) {
    if (event.kind === "snapshot") fold = createStatusFold(event.status);
    else fold.apply(event.delta);
    at = event.revision;
    if (at === until) controller.abort();
  }
  expect(at).toBe(until);
  return fold.status;
}

/** The revision is the server's own count; all else must be equal. */
function same(a: AgentExecutionStatus, b: AgentExecutionStatus): boolean {
  return equals(AgentExecutionStatusSchema, { ...a, revision: 0 }, { ...b, revision: 0 });
}
