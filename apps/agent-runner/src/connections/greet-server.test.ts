import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ClientError } from "@stigmer/client";
import { HelloResponseSchema } from "@stigmer/protos/runner/v1";
import { describe, expect, it } from "vitest";
import { greetServer, type GreetServerOptions } from "./greet-server.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const fits = {
  version: "1.0.0",
  protocol: 1,
  oldestProtocol: 1,
  time: new Date(NOW).toISOString(),
  engine: "embedded",
};

type Answer = MessageInitShape<typeof HelloResponseSchema>;

function greet(
  answer: Answer | (() => Answer),
  options: Partial<GreetServerOptions> = {},
): ReturnType<typeof greetServer> {
  return greetServer({
    runner: {
      hello: async () => create(HelloResponseSchema, typeof answer === "function" ? answer() : answer),
    },
    runnerId: "r",
    version: "0.9.0",
    engine: "embedded",
    endpoint: "localhost:50051",
    waitMs: 300,
    signal: new AbortController().signal,
    clock: () => NOW,
    ...options,
  });
}

const fails = (code: ClientError["code"], message: string) => (): never => {
  throw new ClientError(code, message);
};

describe("a server that is greeted", () => {
  it("fits with the same protocol, engine and time", async () => {
    expect(await greet(fits)).toBeUndefined();
    expect(await greet({ ...fits, protocol: 7 })).toBeUndefined();
    expect(await greet({ ...fits, engine: "temporal" }, { engine: "temporal" })).toBeUndefined();
  });

  it.each([
    ["a newer server", { oldestProtocol: 2, protocol: 3 }, /^this runner \(0\.9\.0\) is too old .*upgrade the runner$/],
    ["an older server", { oldestProtocol: 0, protocol: 0 }, /1\.0\.0 .*is too old .*upgrade the server$/],
    ["another engine", { engine: "temporal" }, /by Temporal, .*for the embedded engine; set TEMPORAL_SERVICE_ADDRESS/],
    ["a clock behind", { time: new Date(NOW + 61_000).toISOString() }, /clock is 61 s behind that of stigmer-server/],
    ["a clock ahead", { time: new Date(NOW - 3_600_000).toISOString() }, /clock is 60 min ahead of that of/],
  ])("does not fit: %s", async (_, differs, reason) => {
    expect(await greet({ ...fits, ...differs })).toEqual({ kind: "unfit", reason: expect.stringMatching(reason) });
  });

  it("does not fit the other way round either", async () => {
    expect(await greet(fits, { engine: "temporal" })).toMatchObject({
      kind: "unfit",
      reason: expect.stringMatching(/the embedded engine, .*set up for Temporal; unset TEMPORAL_SERVICE_ADDRESS/),
    });
  });

  it("may be a minute off, or say no time at all", async () => {
    for (const time of [new Date(NOW + 60_000).toISOString(), new Date(NOW - 60_000).toISOString(), ""]) {
      expect(await greet({ ...fits, time })).toBeUndefined();
    }
  });

  it("is measured against the middle of the call: a slow answer is no skew", async () => {
    let now = NOW - 50_000;
    const clock = (): number => (now += 50_000);
    expect(await greet({ ...fits, time: new Date(NOW + 75_000).toISOString() }, { clock })).toBeUndefined();
  });

  it("may be of before hello", async () => {
    expect(await greet(fails("unimplemented", "no such method"))).toBeUndefined();
  });

  it("is waited for while it is away, and then named with what to do", async () => {
    let asked = 0;
    const back = (): Answer => ((asked += 1) < 3 ? fails("unavailable", "refused")() : fits);
    expect(await greet(back, { waitMs: 5_000 })).toBeUndefined();
    expect(asked).toBe(3);
    expect(await greet(fails("unavailable", "refused"))).toEqual({
      kind: "unreachable",
      reason:
        "no answer within 0.3 s. Start it with `stigmer local start`, or set STIGMER_BACKEND_ENDPOINT (https://… where it speaks TLS).",
    });
  });

  it("turns a runner away at once, with its own words", async () => {
    expect(await greet(fails("unauthenticated", "the key is not valid"))).toEqual({
      kind: "unreachable",
      reason: "the key is not valid",
    });
    expect(await greet(fails("failed-precondition", "upgrade the runner"))).toEqual({
      kind: "unfit",
      reason: "upgrade the runner",
    });
  });

  it("is left alone when the runner is told to end", async () => {
    expect(await greet(fails("unavailable", "refused"), { signal: AbortSignal.abort() })).toBeUndefined();
  });
});
