import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { EngineError } from "@stigmer/engine";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serve, type Served } from "../http/__fixtures__/serve.ts";
import { silentLogger } from "../logger.ts";
import { StoreError } from "../store/errors.ts";
import { reportErrors, reportGateErrors } from "./report-errors.ts";
import { refusalOfStore } from "./store-refusals.ts";

const INTERNALS = "SQLITE_IOERR in /home/somebody/.stigmer/data/stigmer.db";

interface Logged {
  readonly fields: { readonly method: string; readonly errorId: string; readonly err: unknown };
  readonly message: string;
}

let server: Served;
let logged: Logged[];
/** What the next call fails with. */
let failure: Error;
let rejectsWhenAborted: boolean;
let failsAtGate: boolean;
let agents: Client<typeof AgentQueryController>;
let executions: Client<typeof AgentExecutionQueryController>;
beforeEach(async () => {
  logged = [];
  failsAtGate = false;
  const logger = {
    ...silentLogger,
    error: (fields: object, message: string) => void logged.push({ fields: fields as Logged["fields"], message }),
  };
  server = await serve({
    routes: (router) => {
      router.service(AgentQueryController, {
        get: () => {
          throw failure;
        },
      });
      router.service(AgentExecutionQueryController, {
        async *subscribe() {
          yield { kind: "AgentExecution" };
          throw failure;
        },
        async *watch(_request, { signal }) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          if (rejectsWhenAborted) throw new DOMException("This operation was aborted", "AbortError");
          yield* [];
        },
      });
    },
    requestGate: reportGateErrors(async () => {
      if (failsAtGate) throw failure;
    }, logger),
    interceptors: [reportErrors(logger)],
  });
  agents = createClient(AgentQueryController, server.transport);
  executions = createClient(AgentExecutionQueryController, server.transport);
});
afterEach(() => server.close());

const calls: [string, string, () => Promise<unknown>][] = [
  ["one answer", "get", () => agents.get({ value: "agt-1" })],
  ["a stream", "subscribe", () => Array.fromAsync(executions.subscribe({ value: "aex-1" }))],
  ["what a gate looks at", "get", callAtGate],
];

async function callAtGate(): Promise<unknown> {
  failsAtGate = true;
  return agents.get({ value: "agt-1" });
}

async function errorOf(call: () => Promise<unknown>): Promise<ConnectError> {
  const error = await call().catch((caught: unknown) => caught);
  if (!(error instanceof ConnectError)) throw new Error("The call did not fail.");
  return error;
}

it.each(calls)("tells the caller of %s a number instead of internals, and logs both", async (_what, method, call) => {
  failure = new Error(INTERNALS);
  const error = await errorOf(call);
  expect(error.code).toBe(Code.Internal);
  expect(logged).toEqual([
    {
      fields: { method, errorId: expect.stringMatching(/^[0-9a-f]{8}$/) as string, err: failure },
      message: "call failed",
    },
  ]);
  expect(error.rawMessage).toBe(`internal error ${logged[0]?.fields.errorId}: see the server's log`);
  expect(error.details).toEqual([]);
  expect([...error.metadata].flat().join(" ")).not.toContain("SQLITE_IOERR");
  await errorOf(call);
  expect(logged[1]?.fields.errorId).not.toBe(logged[0]?.fields.errorId);
});

it.each(calls)("lets a deliberate refusal of %s pass, and logs nothing", async (_what, _method, call) => {
  failure = new ConnectError("agt-1 does not exist", Code.NotFound, { "x-extra": "kept" });
  const error = await errorOf(call);
  expect(error).toMatchObject({ code: Code.NotFound, rawMessage: "agt-1 does not exist" });
  expect(error.metadata.get("x-extra")).toBe("kept");
  expect(logged).toEqual([]);
});

it.each(calls)("takes an aborted wait of %s for the end of the call", async (_what, _method, call) => {
  failure = new DOMException("This operation was aborted", "AbortError");
  expect(await errorOf(call)).toMatchObject({ code: Code.Canceled, rawMessage: "the call was cancelled" });
  expect(logged).toEqual([]);
});

it.each([
  ["ends", false],
  ["fails", true],
])("tells of a deadline when a stream %s by it", async (_how, rejects) => {
  rejectsWhenAborted = rejects;
  // Past the client, which would end the call by its own clock.
  const response = await fetch(`${server.baseUrl}/${AgentExecutionQueryController.typeName}/watch`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "grpc-timeout": "20m" },
    body: new Uint8Array(5),
  });
  expect(await response.text()).toContain(`grpc-status: ${Code.DeadlineExceeded}\r\n`);
  expect(logged).toEqual([]);
});

it.each(calls)("tells the caller of %s what the store refuses, and nobody else", async (_what, _method, call) => {
  failure = new StoreError("already-exists", "there is one");
  expect(await errorOf(call)).toMatchObject({
    code: Code.AlreadyExists,
    rawMessage: "there is one",
  });
  expect(logged).toEqual([]);
});

it.each(calls)(
  "tells the caller of %s, and the log, what the store's machine does not let it do",
  async (_what, method, call) => {
    const refusal = new StoreError("disk-full", "the disk is full: make room in /data, then try again");
    // As it comes out of a service's transaction, and from anywhere else.
    for (const thrown of [refusal, refusalOfStore(refusal)]) {
      logged = [];
      failure = thrown;
      expect(await errorOf(call)).toMatchObject({ code: Code.Unavailable, rawMessage: refusal.message });
      expect(logged).toEqual([{ fields: { method, err: refusal }, message: "the store could not do it" }]);
    }
  },
);

it("sends a call elsewhere that the engine refuses because its server is closing", async () => {
  failure = new EngineError("closed", "The engine is closed; start it again to go on.");
  await expect(agents.get({ value: "a" })).rejects.toMatchObject({ code: Code.Unavailable });
  expect(logged).toEqual([]);
});
