import pg from "pg";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { at, keepsCheckpointsInOrder, lastOf, made, newThread, put } from "../__fixtures__/next-checkpoints-suite.ts";
import { openSchema, postgresUrl } from "../__fixtures__/postgres.ts";

// Without a server all of this file fails, with one message.
postgresUrl();

const schema = await openSchema();
afterAll(() => schema[Symbol.asyncDispose]());
afterEach(() => vi.restoreAllMocks());

keepsCheckpointsInOrder(() => schema.open());

it(
  "waits for nobody who stands still amid a checkpoint, and refuses it when it wakes up",
  { timeout: 30_000 },
  async () => {
    const [asleep, successor] = [await schema.open(), await schema.open()];
    const thread = newThread();
    const seen = await put(asleep, at(thread), made("both"));
    const { query } = pg.Client.prototype;
    const wake = Promise.withResolvers<void>();
    let stands = false;
    vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...given: unknown[]) {
      const ask = (): unknown => Reflect.apply(query, this, given);
      if (given[0] !== "COMMIT" || stands) return ask();
      stands = true;
      return wake.promise.then(ask);
    } as never);
    const late = put(asleep, seen, made("asleep"));
    await vi.waitFor(() => expect(stands).toBe(true));
    await put(successor, seen, made("successor"));
    wake.resolve();
    await expect(late).rejects.toMatchObject({ code: "checkpoint-conflict" });
    expect(await lastOf(asleep, at(thread))).toBe("successor");
  },
);
