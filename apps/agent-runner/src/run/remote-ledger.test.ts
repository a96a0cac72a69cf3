import type { ToolCallIntent, ToolCallLedger } from "@stigmer/agent";
import { ClientError, type ClientErrorCode } from "@stigmer/client";
import { ActivityStop } from "@stigmer/engine";
import { ToolCallClass } from "@stigmer/protos/runner/v1";
import { describe, expect, it } from "vitest";
import { createRemoteLedger, type RemoteLedgerOptions } from "./remote-ledger.ts";

const intent: ToolCallIntent = { callKey: "m/t", toolName: "execute", toolClass: "once" };
const result = new TextEncoder().encode("done");
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

type Answer = ClientErrorCode | { case: "started" | "recorded" | "unknown" | undefined; value?: object };

interface World {
  readonly ledger: ToolCallLedger;
  readonly begins: { requestId: string; fence: number; toolClass: ToolCallClass; callKey: string }[];
  readonly finishes: { fence: number; callKey: string; toolClass?: ToolCallClass; text: string }[];
  readonly local: string[];
  readonly stops: ActivityStop[];
  /** How often a call was told to be done. */
  readonly finished: true[];
  readonly run: AbortController;
}

/** A server that answers what is listed, the last answer again and again. */
function world(
  script: { begin?: Answer[]; finish?: (ClientErrorCode | "ok")[] } = {},
  options: Partial<RemoteLedgerOptions> = {},
): World {
  const begin = [...(script.begin ?? [{ case: "started", value: {} }])];
  const finish = [...(script.finish ?? ["ok"])];
  const made: Omit<World, "ledger"> = {
    begins: [],
    finishes: [],
    local: [],
    stops: [],
    finished: [],
    run: new AbortController(),
  };
  const next = <T>(list: T[]): T => (list.length > 1 ? list.shift() : list[0]) as T;
  const ledger = createRemoteLedger({
    record: {
      beginToolCall: async ({ requestId, fence, toolClass, callKey }) => {
        made.begins.push({ requestId, fence, toolClass, callKey });
        const answer = next(begin);
        if (typeof answer === "string") throw new ClientError(answer, `the server says ${answer}`);
        return answer as never;
      },
      finishToolCall: async ({ fence, callKey, result, toolClass }) => {
        made.finishes.push({ fence, callKey, toolClass, text: new TextDecoder().decode(result) });
        const answer = next(finish);
        if (answer !== "ok") throw new ClientError(answer, `the server says ${answer}`);
      },
    },
    executionId: "aex-1",
    fence: 5,
    signal: made.run.signal,
    mask: (bytes) => bytes,
    onFenced: (stop) => made.stops.push(stop),
    onFinished: () => void made.finished.push(true),
    local: {
      begin: async ({ callKey }) => {
        made.local.push(`begin ${callKey}`);
        return { kind: "started" };
      },
      finish: async (callKey, bytes) => {
        made.local.push(`finish ${callKey} ${new TextDecoder().decode(bytes)}`);
      },
    },
    logger: quiet,
    retryMs: 1,
    ...options,
  });
  return { ...made, ledger };
}

describe("the ledger that the server keeps", () => {
  it("writes the intent under the fence, then the result", async () => {
    const { ledger, begins, finishes, finished } = world();
    expect(await ledger.begin(intent)).toEqual({ kind: "started" });
    expect(finished).toEqual([]);
    await ledger.begin({ callKey: "m/u", toolName: "ls", toolClass: "repeatable" });
    await ledger.finish("m/t", result);
    expect(begins.map(({ fence, callKey, toolClass }) => [fence, callKey, toolClass])).toEqual([
      [5, "m/t", ToolCallClass.ONCE],
      [5, "m/u", ToolCallClass.REPEATABLE],
    ]);
    expect(new Set(begins.map(({ requestId }) => requestId)).size).toBe(2);
    await ledger.finish("m/u", result);
    expect(finishes).toEqual([
      { fence: 5, callKey: "m/t", toolClass: ToolCallClass.ONCE, text: "done" },
      { fence: 5, callKey: "m/u", toolClass: ToolCallClass.REPEATABLE, text: "done" },
    ]);
    expect(finished).toEqual([true, true]);
  });

  it("tells what is known of a call that was made before", async () => {
    const { ledger } = world({
      begin: [
        { case: "recorded", value: { result } },
        { case: "unknown", value: { begunAt: "2026-11-21T00:00:00Z" } },
      ],
    });
    expect(await ledger.begin(intent)).toEqual({ kind: "recorded", result });
    expect(await ledger.begin(intent)).toEqual({ kind: "outcome-unknown", begunAt: "2026-11-21T00:00:00Z" });
  });

  it("waits for a server that is away, with one request id", async () => {
    const { ledger, begins, finishes } = world({
      begin: ["unavailable", "deadline-exceeded", "internal", { case: "started", value: {} }],
      finish: ["unavailable", "ok"],
    });
    expect(await ledger.begin(intent)).toEqual({ kind: "started" });
    await ledger.finish("m/t", result);
    expect(begins).toHaveLength(4);
    expect(new Set(begins.map(({ requestId }) => requestId)).size).toBe(1);
    expect(finishes).toHaveLength(2);
  });

  it("stops waiting when the run is told to stop, with the run's reason", async () => {
    const { ledger, run, begins } = world({ begin: ["unavailable"] });
    const begun = ledger.begin(intent);
    const stop = new ActivityStop("draining", "this runner shuts down");
    while (begins.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
    run.abort(stop);
    await expect(begun).rejects.toBe(stop);
  });

  it("begins nothing for a run that was told to stop, but still writes down what has happened", async () => {
    const { ledger, run, begins, finishes } = world({ finish: ["unavailable", "ok"] });
    await ledger.begin(intent);
    run.abort(new ActivityStop("draining", "this runner shuts down"));
    await ledger.finish("m/t", result);
    expect(finishes).toHaveLength(2);
    await expect(ledger.begin(intent)).rejects.toMatchObject({ kind: "draining" });
    expect(begins).toHaveLength(1);
  });

  it("ends the run as lost when its fence is old", async () => {
    const { ledger, stops } = world({ begin: ["failed-precondition"] });
    await expect(ledger.begin(intent)).rejects.toMatchObject({ kind: "lease-lost" });
    expect(stops).toMatchObject([{ kind: "lease-lost", message: "the server says failed-precondition" }]);
    const late = world({ finish: ["failed-precondition"] });
    await late.ledger.begin(intent);
    await expect(late.ledger.finish("m/t", result)).rejects.toMatchObject({ kind: "lease-lost" });
    expect(late.stops).toHaveLength(1);
    expect(late.finished).toEqual([]);
  });

  it("passes a refusal on: the call is not made", async () => {
    const { ledger, begins, local } = world({ begin: ["invalid-argument"] });
    await expect(ledger.begin(intent)).rejects.toThrow("the server says invalid-argument");
    expect(begins).toHaveLength(1);
    expect(local).toEqual([]);
  });

  it("uses this machine's ledger where the server has none", async () => {
    const { ledger, begins, finishes, local } = world({ begin: ["unimplemented"] });
    expect(await ledger.begin(intent)).toEqual({ kind: "started" });
    await ledger.finish("m/t", result);
    await ledger.begin({ ...intent, callKey: "m/u" });
    expect(begins).toHaveLength(1);
    expect(finishes).toEqual([]);
    expect(local).toEqual(["begin m/t", "finish m/t done", "begin m/u"]);
  });

  it("asks no server that knows no fences", async () => {
    const { ledger, begins, finished, local } = world({}, { fence: 0 });
    await ledger.begin(intent);
    await ledger.finish("m/t", result);
    expect(finished).toEqual([true]);
    expect(begins).toEqual([]);
    expect(local).toEqual(["begin m/t", "finish m/t done"]);
  });

  it("keeps the result here when the server went back to a version without a ledger in mid-call", async () => {
    const { ledger, local } = world({ finish: ["unimplemented"] });
    await ledger.begin(intent);
    await ledger.finish("m/t", result);
    expect(local).toEqual(["begin m/t", "finish m/t done"]);
  });

  it("masks a result before it leaves this process, whichever ledger keeps it", async () => {
    const mask = (): Uint8Array => new TextEncoder().encode("********");
    const remote = world({}, { mask });
    await remote.ledger.begin(intent);
    await remote.ledger.finish("m/t", result);
    expect(remote.finishes).toMatchObject([{ text: "********" }]);
    const local = world({}, { mask, fence: 0 });
    await local.ledger.begin(intent);
    await local.ledger.finish("m/t", result);
    expect(local.local.at(-1)).toBe("finish m/t ********");
  });
});
