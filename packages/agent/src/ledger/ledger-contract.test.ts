import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { createSqliteCheckpointer } from "../checkpointer/create-sqlite-checkpointer.ts";
import { createMemoryLedger } from "./create-memory-ledger.ts";
import { createSqliteLedger, type SqliteLedger } from "./create-sqlite-ledger.ts";
import type { ToolCallClass, ToolCallIntent, ToolCallLedger } from "./tool-call-ledger.ts";

const directory = mkdtempSync(join(tmpdir(), "ledger-"));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
const newPath = (): string => join(directory, "deep", `${(files += 1)}.db`);

interface Bench extends Disposable {
  readonly ledger: ToolCallLedger;
  /** The same ledger as the next process finds it. */
  reopen(): Promise<ToolCallLedger>;
}

const benches: Record<string, () => Promise<Bench>> = {
  async memory() {
    const ledger = createMemoryLedger();
    return { ledger, reopen: async () => ledger, [Symbol.dispose]: () => {} };
  },
  async sqlite() {
    const path = newPath();
    const open: SqliteLedger[] = [];
    const next = async (): Promise<ToolCallLedger> => {
      const store = await createSqliteLedger({ path });
      open.push(store);
      return store.forRun("run");
    };
    const close = (): void => {
      for (const store of open.splice(0)) store.close();
    };
    return {
      ledger: await next(),
      reopen: () => {
        close();
        return next();
      },
      [Symbol.dispose]: close,
    };
  },
};

const call = (callKey: string, toolClass: ToolCallClass = "once"): ToolCallIntent => ({
  callKey,
  toolName: "execute",
  toolClass,
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe.each(Object.entries(benches))("the %s ledger", (_, openBench) => {
  it("starts a call that it doesn't know, and gives the result of one that has ended", async () => {
    using bench = await openBench();
    expect(await bench.ledger.begin(call("a"))).toEqual({ kind: "started" });
    await bench.ledger.finish("a", bytes("result"));
    const later = await bench.reopen();
    const known = await later.begin(call("a"));
    expect(known).toMatchObject({ kind: "recorded" });
    expect(Buffer.from((known as { result: Uint8Array }).result).toString()).toBe("result");
    expect(await later.begin(call("b"))).toEqual({ kind: "started" });
  });

  it("keeps an empty result, and one that its caller changes afterwards", async () => {
    using bench = await openBench();
    await bench.ledger.begin(call("empty"));
    await bench.ledger.finish("empty", new Uint8Array());
    expect(await bench.ledger.begin(call("empty"))).toMatchObject({ kind: "recorded", result: new Uint8Array() });
    const buffer = bytes("kept");
    await bench.ledger.begin(call("buffer"));
    await bench.ledger.finish("buffer", buffer);
    buffer.fill(0);
    const { result } = (await bench.ledger.begin(call("buffer"))) as { result: Uint8Array };
    expect(Buffer.from(result).toString()).toBe("kept");
  });

  it("tells of a call that was begun and may not be repeated, with the time, each time it is asked", async () => {
    using bench = await openBench();
    const before = Date.now();
    await bench.ledger.begin(call("a"));
    const after = Date.now();
    const later = await bench.reopen();
    const known = await later.begin(call("a"));
    const { kind, begunAt } = known as { kind: string; begunAt: string };
    expect(kind).toBe("outcome-unknown");
    expect(begunAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Date.parse(begunAt)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(begunAt)).toBeLessThanOrEqual(after);
    expect(await later.begin(call("a"))).toEqual(known);
  });

  it("starts a repeatable call again, until it has ended; and no call that was or is `once`", async () => {
    using bench = await openBench();
    await bench.ledger.begin(call("a", "repeatable"));
    await bench.ledger.begin(call("b", "repeatable"));
    await bench.ledger.begin(call("c", "once"));
    const later = await bench.reopen();
    expect(await later.begin(call("a", "repeatable"))).toEqual({ kind: "started" });
    await later.finish("a", bytes("done"));
    expect(await later.begin(call("a", "repeatable"))).toMatchObject({ kind: "recorded" });
    expect(await later.begin(call("b", "once"))).toMatchObject({ kind: "outcome-unknown" });
    expect(await later.begin(call("c", "repeatable"))).toMatchObject({ kind: "outcome-unknown" });
  });

  it("keeps the first result, and refuses one of a call that was never begun", async () => {
    using bench = await openBench();
    await bench.ledger.begin(call("a"));
    await bench.ledger.finish("a", bytes("first"));
    await bench.ledger.finish("a", bytes("second"));
    const { result } = (await (await bench.reopen()).begin(call("a"))) as { result: Uint8Array };
    expect(Buffer.from(result).toString()).toBe("first");
    const later = await bench.reopen();
    await expect(later.finish("never", bytes("x"))).rejects.toMatchObject({ code: "checkpoint" });
  });

  it("starts nothing for a run that was stopped", async () => {
    using bench = await openBench();
    const reason = new Error("stopped");
    await expect(bench.ledger.begin(call("a"), AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(await bench.ledger.begin(call("a"))).toEqual({ kind: "started" });
  });

  it("lets exactly one of many that ask at once make the call", async () => {
    using bench = await openBench();
    const starts = await Promise.all(Array.from({ length: 20 }, () => bench.ledger.begin(call("a"))));
    expect(starts.filter(({ kind }) => kind === "started")).toHaveLength(1);
    expect(starts.filter(({ kind }) => kind === "outcome-unknown")).toHaveLength(19);
  });

  it("answers as the model of it does, whatever happens in whatever order", async () => {
    const key = fc.constantFrom("a", "b");
    const step = fc.oneof(
      fc.record({ begin: key, toolClass: fc.constantFrom<ToolCallClass>("once", "repeatable") }),
      fc.record({ finish: key, result: fc.string() }),
      fc.constant("die" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        using bench = await openBench();
        let { ledger } = bench;
        const model = new Map<string, { once: boolean; result?: string }>();
        const answers: string[] = [];
        const expected: string[] = [];
        for (const event of steps) {
          if (event === "die") {
            ledger = await bench.reopen();
          } else if ("begin" in event) {
            const once = event.toolClass === "once";
            const known = model.get(event.begin);
            const answer = await ledger.begin(call(event.begin, event.toolClass));
            answers.push(
              answer.kind === "recorded" ? `recorded ${Buffer.from(answer.result).toString()}` : answer.kind,
            );
            if (known?.result !== undefined) expected.push(`recorded ${known.result}`);
            else expected.push(known !== undefined && (known.once || once) ? "outcome-unknown" : "started");
            if (known === undefined) model.set(event.begin, { once });
          } else {
            const known = model.get(event.finish);
            const refused = await ledger.finish(event.finish, bytes(event.result)).then(
              () => "kept",
              () => "refused",
            );
            answers.push(refused);
            expected.push(known === undefined ? "refused" : "kept");
            if (known !== undefined) known.result ??= Buffer.from(bytes(event.result)).toString();
          }
        }
        expect(answers).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });
});

it("keeps the runs of one file apart, and forgets one without the others", async () => {
  const path = newPath();
  const first = await createSqliteLedger({ path });
  const second = await createSqliteLedger({ path });
  const one = first.forRun("one");
  await one.begin(call("a"));
  await one.finish("a", bytes("result"));
  expect(await second.forRun("two").begin(call("a"))).toEqual({ kind: "started" });
  expect(await second.forRun("one").begin(call("a"))).toMatchObject({ kind: "recorded" });
  second.deleteRun("one");
  expect(await one.begin(call("a"))).toEqual({ kind: "started" });
  expect(await first.forRun("two").begin(call("a"))).toMatchObject({ kind: "outcome-unknown" });
  first.close();
  first.close();
  second.close();
  await expect(one.begin(call("b"))).rejects.toThrow(/finalized|not open/);
});

it("is readable by its owner alone, and refuses a file of another kind", async () => {
  const path = newPath();
  (await createSqliteLedger({ path })).close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await expect(createSqliteCheckpointer({ path })).rejects.toMatchObject({
    code: "checkpoint",
    message: expect.stringMatching(/checkpoint database .* another kind/) as string,
  });
  const other = newPath();
  (await createSqliteCheckpointer({ path: other })).close();
  await expect(createSqliteLedger({ path: other })).rejects.toThrow(/ledger database .* another kind/);
  const text = join(directory, "text.db");
  writeFileSync(text, "not a database".repeat(100));
  await expect(createSqliteLedger({ path: text })).rejects.toThrow(text);
});
