import { createServer as createHttp2, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentExecutionCommandController, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { RunnerController, type RunAnswerSchema, type RunEntry, ToolCallClass } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createClient, type StigmerClient } from "./create-client.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  closers.splice(0).forEach((close) => close());
});

const intent = (callKey: string) => ({
  executionId: "aex-1",
  fence: 3,
  callKey,
  toolName: "execute",
  toolClass: ToolCallClass.ONCE,
  requestId: `request of ${callKey}`,
});
const delta = create(StatusDeltaSchema, { changes: [{ change: { case: "run", value: { error: "so far" } } }] });
const patch = (sequence: number) => ({ executionId: "aex-1", fence: 3, sequence, delta });
const result = (callKey: string) => ({ executionId: "aex-1", fence: 3, callKey, result: Uint8Array.of(1) });

const sandbox = { executionId: "aex-1", fence: 3, sandboxId: "docker:new", previousSandboxId: "docker:old" };

interface World {
  readonly client: StigmerClient;
  /** What the server was asked, and how. */
  readonly seen: string[];
  /** Ends all connections, as a server that dies does. */
  breakConnections(): void;
}

async function serve(
  recordRun?: ServiceImpl<typeof RunnerController>["recordRun"],
  { timeoutMs }: { readonly timeoutMs?: number } = {},
): Promise<World> {
  const seen: string[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const record: ServiceImpl<typeof RunnerController>["recordRun"] | undefined =
    recordRun &&
    ((entries, context) => {
      seen.push("stream");
      return recordRun(entries, context);
    });
  const server = createHttp2(
    connectNodeAdapter({
      routes: (router) => {
        router.service(RunnerController, {
          ...(record && { recordRun: record }),
          beginToolCall: ({ callKey, requestId }) => {
            seen.push(`begin ${callKey}: ${requestId}`);
            return { outcome: { case: "started", value: {} } };
          },
          finishToolCall: ({ callKey }) => {
            seen.push(`finish ${callKey}`);
            return {};
          },
        });
        router.service(AgentExecutionCommandController, {
          patchStatus: ({ fence, sequence }) => {
            seen.push(`patch ${fence}/${sequence}`);
            return { revision: 1 };
          },
        });
      },
    }),
  );
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = createClient({
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey: "k",
    timeoutMs,
  });
  closers.push(() => {
    client.close();
    server.close();
  });
  return { client, seen, breakConnections: () => sessions.forEach((session) => session.destroy()) };
}

type Entries = Parameters<ServiceImpl<typeof RunnerController>["recordRun"]>[0];

/** Answers each entry; what comes back tells that it came by the stream. */
async function* answering(entries: Entries): AsyncGenerator<MessageInitShape<typeof RunAnswerSchema>> {
  for await (const { number, entry } of entries) {
    if (entry.case === "begin") {
      const outcome = { case: "recorded" as const, value: { result: new TextEncoder().encode(entry.value.requestId) } };
      yield { number, answer: { case: "begun" as const, value: { outcome } } };
    } else if (entry.case === "patch") {
      yield { number, answer: { case: "patched" as const, value: { revision: 100 + entry.value.sequence } } };
    } else if (entry.case === "remember") {
      yield {
        number,
        answer: { case: "remembered" as const, value: { sandboxId: `${entry.value.sandboxId}, stored` } },
      };
    } else {
      yield { number, answer: { case: "finished" as const, value: {} } };
    }
  }
}

const byStream = (callKey: string) => ({
  case: "recorded",
  value: { result: new TextEncoder().encode(`request of ${callKey}`) },
});

describe("what a run tells over a stream", () => {
  it("writes all its entries over one stream, and matches answers that come in another order", async () => {
    const { client, seen } = await serve(async function* (entries) {
      const held = [];
      for await (const answer of answering(entries)) if (held.push(answer) === 3) yield* held.splice(0).toReversed();
    });
    const record = client.runner.recordRun();
    const answers = await Promise.all([
      record.beginToolCall(intent("a")),
      record.beginToolCall(intent("b")),
      record.finishToolCall(result("c")),
    ]);
    expect(answers).toMatchObject([byStream("a"), byStream("b"), undefined]);
    expect(seen).toEqual(["stream"]);
  });

  it("tells a refusal as the call would, and goes on", async () => {
    const { client, seen } = await serve(async function* (entries) {
      let refuses = true;
      for await (const { number } of entries) {
        const refused = { code: Code.FailedPrecondition, message: "fence 3 of aex-1 is old" };
        if (refuses) yield { number, answer: { case: "refused", value: refused } };
        else yield { number, answer: { case: "finished", value: {} } };
        refuses = false;
      }
    });
    const record = client.runner.recordRun();
    await expect(record.beginToolCall(intent("a"))).rejects.toMatchObject({
      code: "failed-precondition",
      message: "tool call a of execution aex-1: fence 3 of aex-1 is old",
    });
    await record.finishToolCall(result("b"));
    expect(seen).toEqual(["stream"]);
  });

  it("makes the calls on a server that knows no stream, and asks it for one but once", async () => {
    const { client, seen } = await serve();
    const record = client.runner.recordRun();
    expect(await record.beginToolCall(intent("a"))).toMatchObject({ case: "started" });
    await record.finishToolCall(result("a"));
    expect(seen).toEqual(["begin a: request of a", "finish a"]);

    const refusing = await serve(() => {
      throw new ConnectError("no such method", Code.Unimplemented);
    });
    const second = refusing.client.runner.recordRun();
    for (const callKey of ["a", "b", "c"]) await second.beginToolCall(intent(callKey));
    // Nor for another run: what one has found out is true of the connection.
    expect(await refusing.client.runner.recordRun().patchStatus(patch(1))).toBe(1);
    expect(refusing.seen.filter((what) => what === "stream")).toHaveLength(1);
    expect(refusing.seen.at(-1)).toBe("patch 3/1");
  });

  it("asks again by a call for what a broken stream left unanswered, under the same request id; then opens another", async () => {
    let breaks = false;
    const { client, seen } = await serve(async function* (entries) {
      for await (const answer of answering(entries)) {
        if (breaks) throw new ConnectError("the server is shutting down: try again", Code.Unavailable);
        yield answer;
      }
    });
    const record = client.runner.recordRun();
    await record.beginToolCall(intent("a"));
    breaks = true;
    expect(await record.beginToolCall(intent("b"))).toMatchObject({ case: "started" });
    breaks = false;
    expect(await record.beginToolCall(intent("c"))).toMatchObject(byStream("c"));
    expect(seen).toEqual(["stream", "begin b: request of b", "stream"]);
  });

  it("goes on past a connection that breaks", async () => {
    let silent = false;
    const { client, seen, breakConnections } = await serve(async function* (entries) {
      for await (const answer of answering(entries)) {
        if (silent) breakConnections();
        else yield answer;
      }
    });
    const record = client.runner.recordRun();
    await record.beginToolCall(intent("a"));
    silent = true;
    expect(await record.beginToolCall(intent("b"))).toMatchObject({ case: "started" });
    expect(seen).toEqual(["stream", "begin b: request of b"]);
  });

  it("leaves streams alone for a while when one broke before it answered", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { client, seen } = await serve(() => {
      throw new ConnectError("a proxy allows no streams", Code.Unavailable);
    });
    const record = client.runner.recordRun();
    for (const callKey of ["a", "b"]) await record.finishToolCall(result(callKey));
    vi.setSystemTime(Date.now() + 5_001);
    await record.finishToolCall(result("c"));
    expect(seen).toEqual(["stream", "finish a", "finish b", "stream", "finish c"]);
  });

  it("waits no longer than it is told to, and refuses an empty id", async () => {
    const { client } = await serve(async function* (entries) {
      for await (const _ of entries) yield* [];
    });
    const record = client.runner.recordRun();
    const stop = new AbortController();
    const begun = record.beginToolCall(intent("a"), stop.signal);
    stop.abort();
    await expect(begun).rejects.toMatchObject({ name: "ClientError" });
    await expect(record.beginToolCall(intent("a"), stop.signal)).rejects.toMatchObject({ name: "ClientError" });
    await expect(record.finishToolCall({ ...result("a"), executionId: "" })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });

  it("ends its stream when it is closed, and makes calls from then on", async () => {
    const ended = Promise.withResolvers<void>();
    const { client, seen } = await serve(async function* (entries) {
      yield* answering(entries);
      ended.resolve();
    });
    const record = client.runner.recordRun();
    await record.beginToolCall(intent("a"));
    const last = record.finishToolCall(result("a"));
    record.close();
    await last;
    await ended.promise;
    await record.finishToolCall(result("b"));
    expect(seen).toEqual(["stream", "finish b"]);
  });

  it("has the status among it, under the revision that each change is stored as", async () => {
    const { client, seen } = await serve(answering);
    const record = client.runner.recordRun();
    expect(await Promise.all([record.patchStatus(patch(1)), record.beginToolCall(intent("a"))])).toMatchObject([
      101,
      byStream("a"),
    ]);
    expect(await record.patchStatus(patch(2))).toBe(102);
    expect(seen).toEqual(["stream"]);
  });

  it("tells in the words of the call that the run is another runner's", async () => {
    const { client } = await serve(async function* (entries) {
      for await (const { number } of entries) {
        const refused = { code: Code.FailedPrecondition, message: "fence 3 of aex-1 is old" };
        yield { number, answer: { case: "refused", value: refused } };
      }
    });
    await expect(client.runner.recordRun().patchStatus(patch(1))).rejects.toMatchObject({
      code: "failed-precondition",
      message: "status of execution aex-1: fence 3 of aex-1 is old",
    });
  });

  it("repeats a change of the status under its number when the stream breaks, or its caller is refused", async () => {
    let code: Code | undefined;
    const { client, seen } = await serve(async function* (entries) {
      for await (const answer of answering(entries)) {
        if (code !== undefined) throw new ConnectError("the API key is not known here", code);
        yield answer;
      }
    });
    const record = client.runner.recordRun();
    await record.patchStatus(patch(1));
    for (const broken of [Code.Unavailable, Code.Unauthenticated, Code.InvalidArgument]) {
      code = broken;
      expect(await record.patchStatus(patch(2))).toBe(1);
      code = undefined;
      vi.useFakeTimers({ toFake: ["Date"] });
      vi.setSystemTime(Date.now() + 5_001);
      expect(await record.patchStatus(patch(3))).toBe(103);
    }
    expect(seen).toEqual(["stream", "patch 3/2", "stream", "patch 3/2", "stream", "patch 3/2", "stream"]);
  });

  describe("is another run's once the run is over", () => {
    /** Tells of streams that have ended. */
    async function withEnds(): Promise<World & { readonly ends: string[]; readonly answer: { holds: boolean } }> {
      const ends: string[] = [];
      const answer = { holds: false };
      const world = await serve(async function* (entries) {
        try {
          for await (const one of answering(entries)) {
            while (answer.holds) await new Promise((resolve) => setTimeout(resolve, 1));
            yield one;
          }
        } finally {
          ends.push("ended");
        }
      });
      return { ...world, ends, answer };
    }

    it("one after the other, and two at once have two", async () => {
      const { client, seen, ends } = await withEnds();
      for (const sequence of [1, 2, 3]) {
        using record = client.runner.recordRun();
        expect(await record.patchStatus(patch(sequence))).toBe(100 + sequence);
      }
      expect(seen).toEqual(["stream"]);
      using first = client.runner.recordRun();
      using second = client.runner.recordRun();
      await Promise.all([first.patchStatus(patch(1)), second.patchStatus(patch(1))]);
      expect(seen).toEqual(["stream", "stream"]);
      expect(ends).toEqual([]);
    });

    it("unless something was left unanswered", async () => {
      const { client, seen, ends, answer } = await withEnds();
      const record = client.runner.recordRun();
      await record.patchStatus(patch(1));
      answer.holds = true;
      const last = record.patchStatus(patch(2));
      record.close();
      const other = client.runner.recordRun().patchStatus(patch(7));
      answer.holds = false;
      expect([await last, await other]).toEqual([102, 107]);
      expect(seen).toEqual(["stream", "stream"]);
      await vi.waitFor(() => expect(ends).toEqual(["ended"]));
    });

    it("for some seconds: then it is ended, and the next one opens another", async () => {
      const { client, seen, ends } = await withEnds();
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const first = client.runner.recordRun();
      await first.patchStatus(patch(1));
      first.close();
      vi.advanceTimersByTime(4_999);
      const second = client.runner.recordRun();
      await second.patchStatus(patch(1));
      // Not while it is used.
      vi.advanceTimersByTime(5_000);
      await second.patchStatus(patch(2));
      expect([seen, ends]).toEqual([["stream"], []]);
      second.close();
      vi.advanceTimersByTime(5_000);
      vi.useRealTimers();
      await vi.waitFor(() => expect(ends).toEqual(["ended"]));
      expect(await client.runner.recordRun().patchStatus(patch(3))).toBe(103);
      expect(seen).toEqual(["stream", "stream"]);
    });

    it("unless it has broken meanwhile", async () => {
      const { client, seen, ends, breakConnections } = await withEnds();
      const first = client.runner.recordRun();
      await first.patchStatus(patch(1));
      first.close();
      breakConnections();
      await vi.waitFor(() => expect(ends).toEqual(["ended"]));
      // Its own side hears of it in the same turn, or the next.
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(await client.runner.recordRun().patchStatus(patch(2))).toBe(102);
      expect(seen).toEqual(["stream", "stream"]);
    });
  });

  it("is given up in its time, and its stream with it", async () => {
    let silent = true;
    const ended = Promise.withResolvers<void>();
    const { client, seen } = await serve(
      async function* (entries, { signal }) {
        signal.addEventListener("abort", () => ended.resolve());
        for await (const answer of answering(entries)) if (!silent || answer.number === 1) yield answer;
      },
      { timeoutMs: 300 },
    );
    const record = client.runner.recordRun();
    await record.patchStatus(patch(1));
    await expect(record.patchStatus(patch(2))).rejects.toMatchObject({ code: "deadline-exceeded" });
    await ended.promise;
    silent = false;
    expect(await record.patchStatus(patch(2))).toBe(102);
    expect(seen).toEqual(["stream", "stream"]);
  });

  it("has the sandbox of its session among it, with the one that it takes the place of", async () => {
    const entries: unknown[] = [];
    const { client, seen } = await serve(async function* (given) {
      const noting = async function* (): AsyncGenerator<RunEntry> {
        for await (const one of given) {
          entries.push(one.entry);
          yield one;
        }
      };
      yield* answering(noting());
    });
    const record = client.runner.recordRun();
    expect(await record.rememberSandbox(sandbox)).toBe("docker:new, stored");
    expect(entries).toMatchObject([{ case: "remember", value: sandbox }]);
    expect(seen).toEqual(["stream"]);
    await expect(record.rememberSandbox({ ...sandbox, executionId: "" })).rejects.toMatchObject({
      code: "invalid-argument",
      message: "execution_id cannot be empty",
    });
    // Then whoever asks has to say it by a call.
    record.close();
    expect(await record.rememberSandbox(sandbox)).toBeUndefined();
    const without = await serve();
    expect(await without.client.runner.recordRun().rememberSandbox(sandbox)).toBeUndefined();
  });

  it("tells that the session is not the run's to change any more", async () => {
    const { client } = await serve(async function* (entries) {
      for await (const { number } of entries) {
        const refused = { code: Code.FailedPrecondition, message: "fence 3 of aex-1 is old" };
        yield { number, answer: { case: "refused", value: refused } };
      }
    });
    await expect(client.runner.recordRun().rememberSandbox(sandbox)).rejects.toMatchObject({
      code: "failed-precondition",
      message: "sandbox of the session of execution aex-1: fence 3 of aex-1 is old",
    });
  });

  describe("on a server that has the stream, and does not know the sandbox among it,", () => {
    /** As it reads an entry of a kind that its contract does not have. */
    const says = ({ entry }: RunEntry): boolean => entry.case !== undefined && entry.case !== "remember";
    const nothing = "entry: value is required";

    it.each([1, 2])(
      "goes on when that ends the stream, as entry %i, and says it there once a minute",
      async (position) => {
        vi.useFakeTimers({ toFake: ["Date"] });
        let isNew = false;
        const { client, seen } = await serve(async function* (entries) {
          const known = async function* (): AsyncGenerator<RunEntry> {
            for await (const one of entries) {
              if (!isNew && !says(one)) throw new ConnectError(nothing, Code.InvalidArgument);
              yield one;
            }
          };
          yield* answering(known());
        });
        const record = client.runner.recordRun();
        for (let sequence = 1; sequence < position; sequence += 1) await record.patchStatus(patch(sequence));
        expect(await record.rememberSandbox(sandbox)).toBeUndefined();
        // The next one has a stream again, and so has another run, which does not break its own.
        expect(await record.patchStatus(patch(2))).toBe(102);
        expect(await record.rememberSandbox(sandbox)).toBeUndefined();
        const other = client.runner.recordRun();
        expect(await other.rememberSandbox(sandbox)).toBeUndefined();
        expect(await other.patchStatus(patch(1))).toBe(101);
        expect(seen).toEqual(["stream", "stream", "stream"]);
        vi.setSystemTime(Date.now() + 60_001);
        isNew = true;
        expect(await other.rememberSandbox(sandbox)).toBe("docker:new, stored");
        expect(seen).toHaveLength(3);
      },
    );

    it("asks by calls for what else the stream left unanswered then", async () => {
      const { client, seen } = await serve(async function* (entries) {
        for await (const one of entries) {
          if (!says(one)) throw new ConnectError(nothing, Code.InvalidArgument);
          yield* [];
        }
      });
      const record = client.runner.recordRun();
      const begun = record.beginToolCall(intent("a"));
      const patched = record.patchStatus(patch(1));
      expect(await record.rememberSandbox(sandbox)).toBeUndefined();
      expect([await begun, await patched]).toMatchObject([{ case: "started" }, 1]);
      expect(seen).toEqual(["stream", "begin a: request of a", "patch 3/1"]);
    });

    it("goes on when it is refused by itself", async () => {
      const { client, seen } = await serve(async function* (entries) {
        for await (const one of entries) {
          const refused = { code: Code.InvalidArgument, message: nothing };
          if (!says(one)) yield { number: one.number, answer: { case: "refused", value: refused } };
          else yield { number: one.number, answer: { case: "finished", value: {} } };
        }
      });
      const record = client.runner.recordRun();
      expect(await record.rememberSandbox(sandbox)).toBeUndefined();
      await record.finishToolCall(result("a"));
      expect(seen).toEqual(["stream"]);
    });
  });

  it("leaves to a newer server its streams again, a minute later", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    let isNew = false;
    const { client, seen } = await serve((entries) => {
      if (!isNew) throw new ConnectError("no such method", Code.Unimplemented);
      return answering(entries);
    });
    expect(await client.runner.recordRun().patchStatus(patch(1))).toBe(1);
    isNew = true;
    expect(await client.runner.recordRun().patchStatus(patch(1))).toBe(1);
    vi.setSystemTime(Date.now() + 60_001);
    expect(await client.runner.recordRun().patchStatus(patch(1))).toBe(101);
    expect(seen).toEqual(["stream", "patch 3/1", "patch 3/1", "stream"]);
  });
});
