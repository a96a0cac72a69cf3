import type { Worker } from "@temporalio/worker";
import { expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../embedded/__fixtures__/manual-clock.ts";
import { rest } from "../embedded/__fixtures__/rest.ts";
import type { Logger } from "../engine.ts";
import { keepWorking } from "./keep-working.ts";

/** A worker that runs until the test ends it. */
interface FakeWorker {
  readonly worker: Worker;
  readonly run: PromiseWithResolvers<void>;
}

function createFakeWorker(): FakeWorker {
  const run = Promise.withResolvers<void>();
  const worker = { run: () => run.promise, shutdown: () => run.resolve(), getState: () => "RUNNING" };
  return { worker: worker as unknown as Worker, run };
}

function createLog(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const say = (level: string) => (_fields: object, message: string) => void lines.push(`${level}: ${message}`);
  return { lines, logger: { debug: () => {}, info: say("info"), warn: say("warn"), error: say("error") } };
}

async function pass(clock: ManualClock): Promise<void> {
  clock.advance(2_000);
  await rest();
}

test("a worker that fails by itself is made anew, with one line in the log however often that fails", async () => {
  const clock = createManualClock();
  const { logger, lines } = createLog();
  const made: FakeWorker[] = [];
  let refusals = 0;
  const create = async (): Promise<Worker> => {
    if (refusals-- > 0) throw new Error("not yet");
    made.push(createFakeWorker());
    return made.at(-1)!.worker;
  };
  const kept = await keepWorking({ create, what: "workflows", logger, clock });
  refusals = 3;
  made[0]?.run.reject(new Error("the namespace is gone"));
  await rest();
  for (let step = 0; step < 5; step += 1) await pass(clock);
  expect(made).toHaveLength(2);
  expect(lines).toEqual(["error: A worker of Temporal's has failed; making another one."]);
  kept.shutdown();
  await kept.stopped;
});

test("a worker that was shut down is not made anew", async () => {
  const clock = createManualClock();
  const { logger, lines } = createLog();
  let made = 0;
  const fake = createFakeWorker();
  const create = async (): Promise<Worker> => {
    made += 1;
    return fake.worker;
  };
  const kept = await keepWorking({ create, what: "activities", logger, clock });
  kept.shutdown();
  kept.shutdown();
  await kept.stopped;
  expect([made, lines, clock.pending]).toEqual([1, [], 0]);
});

test("a worker that is shut down while it is being made anew does not begin", async () => {
  const clock = createManualClock();
  const { logger } = createLog();
  const first = createFakeWorker();
  const second = createFakeWorker();
  const making = Promise.withResolvers<Worker>();
  let made = 0;
  const create = async (): Promise<Worker> => (++made === 1 ? first.worker : making.promise);
  const kept = await keepWorking({ create, what: "workflows", logger, clock });
  first.run.reject(new Error("the namespace is gone"));
  await rest();
  await pass(clock);
  kept.shutdown();
  making.resolve(second.worker);
  await kept.stopped;
  expect(made).toBe(2);
});

test("what can't be made at the start is the caller's to know", async () => {
  const create = (): Promise<Worker> => Promise.reject(new Error("no such file"));
  const { logger } = createLog();
  await expect(keepWorking({ create, what: "workflows", logger, clock: createManualClock() })).rejects.toThrow(
    "no such file",
  );
});
