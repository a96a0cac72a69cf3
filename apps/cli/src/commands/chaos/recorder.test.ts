import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ExecutionPhase, PatchStatusInputSchema } from "@stigmer/protos/agentexecution/v1";
import {
  BeginToolCallRequestSchema,
  BeginToolCallResponseSchema,
  FinishToolCallRequestSchema,
  LeaseEventSchema,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { describe, expect, test } from "vitest";
import { type DurablePoint, namePoint } from "./durable-points.ts";
import type { Gatekeeper, PassingCall, Verdict } from "./forwarding-proxy.ts";
import { createRecorder, type Recorder, type RecorderOptions } from "./recorder.ts";

function message<Schema extends DescMessage>(schema: Schema, init: MessageInitShape<Schema>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

const call = (method: string, request: Uint8Array = new Uint8Array()): PassingCall => ({
  service: "ai.stigmer.agentic.runner.v1.RunnerController",
  method,
  request,
});
const begin = (callKey: string, requestId = callKey, toolClass = ToolCallClass.ONCE): PassingCall =>
  call("beginToolCall", message(BeginToolCallRequestSchema, { callKey, requestId, toolName: "execute", toolClass }));
const finish = (callKey: string): PassingCall =>
  call("finishToolCall", message(FinishToolCallRequestSchema, { callKey }));
const patch = (...phases: ExecutionPhase[]): PassingCall =>
  call(
    "patchStatus",
    message(PatchStatusInputSchema, {
      delta: { changes: phases.map((phase) => ({ change: { case: "run" as const, value: { phase } } })) },
    }),
  );
const answered = (outcome: "started" | "recorded" | "unknown"): Uint8Array =>
  message(BeginToolCallResponseSchema, { outcome: { case: outcome, value: {} } });

async function make(gate: Gatekeeper, passing: PassingCall, answer: Uint8Array = new Uint8Array()): Promise<Verdict> {
  if ((await gate.onRequest(passing)) === "drop") return "drop";
  return gate.reads(passing.method) ? await gate.onAnswer(passing, answer) : "pass";
}

const names = ({ points }: Recorder): string[] => points.map(namePoint);

describe("durable points", () => {
  test("are the calls that store something, by kind and number, before and after", async () => {
    const recorder = createRecorder({});
    const gate = recorder.gatekeeper("runner");
    for (const read of ["getByReference", "listBySession", "hello", "heartbeat", "checkExecution", "watch"]) {
      await make(gate, call(read));
    }
    await make(gate, begin("m/1"), answered("started"));
    await make(gate, finish("m/1"));
    await make(gate, begin("m/2"), answered("started"));
    expect(names(recorder)).toEqual([
      "before beginToolCall 1",
      "after beginToolCall 1",
      "before finishToolCall 1",
      "after finishToolCall 1",
      "before beginToolCall 2",
      "after beginToolCall 2",
    ]);
  });

  test("of the status are its phases, however its changes came together", async () => {
    const recorder = createRecorder({});
    const gate = recorder.gatekeeper("runner");
    await make(gate, patch());
    await make(gate, patch(ExecutionPhase.EXECUTION_IN_PROGRESS, ExecutionPhase.EXECUTION_COMPLETED));
    await make(gate, patch());
    expect(names(recorder)).toEqual([
      "before patchStatus(in-progress) 1",
      "before patchStatus(completed) 1",
      "after patchStatus(in-progress) 1",
      "after patchStatus(completed) 1",
    ]);
  });

  test("of the stream of tasks are its leases, once the server has given them", async () => {
    const recorder = createRecorder({});
    const gate = recorder.gatekeeper("runner");
    const stream = call("takeLeases");
    expect(await gate.onRequest(stream)).toBe("pass");
    await gate.onAnswer(stream, message(LeaseEventSchema, { event: { case: "attached", value: {} } }));
    await gate.onAnswer(stream, message(LeaseEventSchema, { event: { case: "lease", value: { taskId: "t" } } }));
    expect(names(recorder)).toEqual(["after lease 1"]);
  });

  test("on other ways are the submission, and what an engine is told", async () => {
    const recorder = createRecorder({});
    const create = {
      ...call("create"),
      service: "ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController",
    };
    await make(recorder.gatekeeper("client"), create);
    await make(recorder.gatekeeper("client"), { ...call("create"), service: "x.SessionCommandController" });
    await make(recorder.gatekeeper("server-engine"), call("StartWorkflowExecution"));
    await make(recorder.gatekeeper("server-engine"), call("PollWorkflowTaskQueue"));
    await make(recorder.gatekeeper("runner-engine"), call("RespondActivityTaskCompleted"));
    expect(names(recorder).filter((name) => name.startsWith("before"))).toEqual([
      "before create 1",
      "before StartWorkflowExecution 1",
      "before RespondActivityTaskCompleted 1",
    ]);
  });
});

describe("a strike", () => {
  function striking(point: DurablePoint, victim: NonNullable<RecorderOptions["strike"]>["victim"]) {
    const kills: string[] = [];
    const recorder = createRecorder({ strike: { point, victim, kill: async () => void kills.push(victim) } });
    return { recorder, kills, gate: recorder.gatekeeper("runner") };
  }

  test("is made at its point, once, and takes the call with it", async () => {
    const { recorder, kills, gate } = striking({ kind: "finishToolCall", ordinal: 2, side: "before" }, "runner");
    await make(gate, begin("m/1"), answered("started"));
    expect(await make(gate, finish("m/1"))).toBe("pass");
    await make(gate, begin("m/2"), answered("started"));
    expect([kills.length, recorder.struck]).toEqual([0, false]);
    expect(await make(gate, finish("m/2"))).toBe("drop");
    expect(recorder.openAtStrike).toEqual(["m/2"]);
    expect(await make(gate, finish("m/2"))).toBe("pass");
    expect([kills, recorder.struck]).toEqual([["runner"], true]);
  });

  test("leaves a call alone that the victim has no part in", async () => {
    const { gate, kills } = striking({ kind: "beginToolCall", ordinal: 1, side: "after" }, "engine");
    expect(await make(gate, begin("m/1"), answered("started"))).toBe("pass");
    expect(kills).toEqual(["engine"]);
  });

  test.each([
    ["before", "beginToolCall", []],
    ["after", "beginToolCall", ["m/1"]],
    ["before", "finishToolCall", ["m/1"]],
    ["after", "finishToolCall", []],
  ] as const)("%s %s: the calls under way are %j", async (side, kind, open) => {
    const { gate, recorder } = striking({ kind, ordinal: 1, side }, "runner");
    if ((await make(gate, begin("m/1"), answered("started"))) === "pass") await make(gate, finish("m/1"));
    expect(recorder.openAtStrike).toEqual(open);
  });
});

test("the ledger's answers are counted, a repeated question once", async () => {
  const recorder = createRecorder({});
  const gate = recorder.gatekeeper("runner");
  await make(gate, begin("m/1", "r1"), answered("started"));
  await make(gate, begin("m/1", "r1"), answered("started"));
  await make(gate, begin("m/1", "r2"), answered("unknown"));
  await make(gate, begin("m/2", "r3", ToolCallClass.REPEATABLE), answered("started"));
  await make(gate, begin("m/2", "r4", ToolCallClass.REPEATABLE), answered("started"));
  expect([...recorder.toolCalls()]).toEqual([
    ["m/1", { tool: "execute", once: true, starts: 1, isUnknown: true }],
    ["m/2", { tool: "execute", once: false, starts: 2, isUnknown: false }],
  ]);
});
