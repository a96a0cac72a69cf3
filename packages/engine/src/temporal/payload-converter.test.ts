import { createRequire } from "node:module";
import {
  create,
  equals,
  fromBinary,
  type JsonObject,
  toBinary,
  toJson,
  type DescMessage,
  type Message,
} from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { ApplicationFailure, type Payload } from "@temporalio/common";
import {
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  UnknownOutcomePolicy,
} from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAILURE_TYPES } from "./failures.ts";
import { dataConverter } from "./data-converter.ts";
import { messageOf, payloadConverter } from "./payload-converter.ts";

const EXECUTION = "ai.stigmer.agentic.agentexecution.v1.AgentExecution";
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (data: Uint8Array | null | undefined): string => new TextDecoder().decode(data ?? new Uint8Array());

const payloadOf = (encoding: string, data: string | Uint8Array, messageType?: string): Payload => ({
  metadata: { encoding: bytes(encoding), ...(messageType !== undefined && { messageType: bytes(messageType) }) },
  data: typeof data === "string" ? bytes(data) : data,
});

function failureOf(body: () => unknown): ApplicationFailure {
  try {
    body();
  } catch (error) {
    if (error instanceof ApplicationFailure) return error;
    throw error;
  }
  throw new Error("It did not fail.");
}

const text = fc.string({ unit: "binary" });
const date = fc.date({ noInvalidDate: true }).map((time) => time.toISOString());
const object = fc.dictionary(text, fc.jsonValue() as fc.Arbitrary<JsonObject[string]>);
const status = fc
  .record(
    {
      phase: fc.integer({ min: 0, max: 8 }),
      error: text,
      startedAt: date,
      revision: fc.nat(0xffff_ffff),
      callbackToken: fc.uint8Array(),
      usage: fc.record({
        inputTokens: fc.nat(0xffff_ffff),
        modelCalls: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      }),
      messages: fc.array(fc.record({ id: text, content: text, metadata: object }, { requiredKeys: ["content"] })),
      todos: fc.dictionary(text, fc.record({ id: text, content: text })),
    },
    { requiredKeys: [] },
  )
  .map((init) => create(AgentExecutionStatusSchema, init));
const execution = fc
  .record({
    id: text,
    sessionId: text,
    message: text,
    callbackToken: fc.uint8Array(),
    runtimeEnv: fc.dictionary(text, fc.record({ value: text, isSecret: fc.boolean() })),
    unknownOutcome: fc.constantFrom(UnknownOutcomePolicy.TELL_AGENT, UnknownOutcomePolicy.PAUSE),
    status: fc.option(status, { nil: undefined }),
  })
  .map(({ id, status, unknownOutcome, ...spec }) => {
    const executionConfig = { unknownOutcome };
    return create(AgentExecutionSchema, {
      metadata: { id },
      spec: { ...spec, executionConfig },
      ...(status && { status }),
    });
  });
const inboxItem = fc
  .record({ id: text, text, args: object, isMessage: fc.boolean() })
  .map(({ id, text, args, isMessage }) =>
    create(InboxItemSchema, {
      id,
      item: isMessage
        ? { case: "message", value: { text } }
        : { case: "approval", value: { toolCallId: id, decision: 2, args } },
    }),
  );

describe("messages", () => {
  const cases: readonly [DescMessage, fc.Arbitrary<Message>][] = [
    [AgentExecutionSchema, execution],
    [AgentExecutionStatusSchema, status],
    [InboxItemSchema, inboxItem],
  ];

  it.each(cases.map(([schema, arbitrary]) => [schema.typeName, schema, arbitrary] as const))(
    "%s comes back as it was sent, and is sent the same again",
    (typeName, schema, arbitrary) => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          const payload = payloadConverter.toPayload(message);
          expect(textOf(payload.metadata?.["encoding"])).toBe("json/protobuf");
          expect(textOf(payload.metadata?.["messageType"])).toBe(typeName);
          // A payload of JSON carries no half of a surrogate pair, nor does the binary form.
          const back = payloadConverter.fromPayload<Message>(payload);
          const sent = fromBinary(schema, toBinary(schema, message));
          expect(equals(schema, back, sent)).toBe(true);
          expect(payloadConverter.toPayload(back)).toEqual(payload);
        }),
      );
    },
  );

  it("are read in their binary form, too", () => {
    fc.assert(
      fc.property(execution, (message) => {
        const payload = payloadOf("binary/protobuf", toBinary(AgentExecutionSchema, message), EXECUTION);
        const back = payloadConverter.fromPayload<typeof message>(payload);
        expect(toBinary(AgentExecutionSchema, back)).toEqual(toBinary(AgentExecutionSchema, message));
      }),
    );
    const empty = payloadConverter.fromPayload(payloadOf("binary/protobuf", new Uint8Array(), EXECUTION));
    expect(empty).toEqual(create(AgentExecutionSchema));
  });

  // What the SDKs of Go, Java and Python write for one and the same execution, each with its own habits.
  it.each([
    [
      "Go (spaces as protojson likes, enums by name)",
      `{"apiVersion":"agentic.stigmer.ai/v1", "kind":"AgentExecution", "metadata":{"id":"aex-1", "org":"acme"}, "spec":{"sessionId":"ses-1", "message":"Hé", "executionConfig":{"unknownOutcome":"UNKNOWN_OUTCOME_POLICY_PAUSE"}, "callbackToken":"AP8="}, "status":{"phase":"EXECUTION_PENDING"}}`,
    ],
    [
      "Go (UseProtoNames, EmitUnpopulated)",
      `{"api_version":"agentic.stigmer.ai/v1","kind":"AgentExecution","metadata":{"id":"aex-1","org":"acme","slug":"","labels":{}},"spec":{"session_id":"ses-1","agent_id":"","message":"Hé","execution_config":{"model_name":"","unknown_outcome":"UNKNOWN_OUTCOME_POLICY_PAUSE"},"runtime_env":{},"callback_token":"AP8="},"status":{"messages":[],"phase":"EXECUTION_PENDING","usage":null}}`,
    ],
    [
      "Java and Python (indented, non-ASCII escaped)",
      `{\n  "apiVersion": "agentic.stigmer.ai/v1",\n  "kind": "AgentExecution",\n  "metadata": {\n    "id": "aex-1",\n    "org": "acme"\n  },\n  "spec": {\n    "sessionId": "ses-1",\n    "message": "H\\u00e9",\n    "executionConfig": {\n      "unknownOutcome": 2\n    },\n    "callbackToken": "AP8\\u003d"\n  },\n  "status": {\n    "phase": 1\n  }\n}`,
    ],
    [
      "a version to come (fields and values that this one lacks)",
      `{"apiVersion":"agentic.stigmer.ai/v1","kind":"AgentExecution","metadata":{"id":"aex-1","org":"acme","colour":"red"},"spec":{"sessionId":"ses-1","message":"Hé","executionConfig":{"unknownOutcome":"UNKNOWN_OUTCOME_POLICY_PAUSE","effort":{"level":"high"}},"callbackToken":"AP8="},"status":{"phase":"EXECUTION_PENDING"},"annex":[1]}`,
    ],
  ])("are read as %s writes them", (_sdk, json) => {
    const golden = create(AgentExecutionSchema, {
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "AgentExecution",
      metadata: { id: "aex-1", org: "acme" },
      spec: {
        sessionId: "ses-1",
        message: "Hé",
        executionConfig: { unknownOutcome: UnknownOutcomePolicy.PAUSE },
        callbackToken: new Uint8Array([0, 255]),
      },
      status: { phase: ExecutionPhase.EXECUTION_PENDING },
    });
    const read = payloadConverter.fromPayload<typeof golden>(payloadOf("json/protobuf", json, EXECUTION));
    expect(toJson(AgentExecutionSchema, read)).toEqual(toJson(AgentExecutionSchema, golden));
  });

  it("are written as other SDKs read them", () => {
    const message = create(AgentExecutionStatusSchema, {
      phase: ExecutionPhase.EXECUTION_COMPLETED,
      completedAt: "2026",
    });
    expect(payloadConverter.toPayload(message)).toEqual(
      payloadOf(
        "json/protobuf",
        '{"phase":"EXECUTION_COMPLETED","completedAt":"2026"}',
        "ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus",
      ),
    );
  });

  it.each([
    [
      "an unknown message",
      payloadOf("json/protobuf", "{}", "acme.v1.Order"),
      /json\/protobuf .*acme\.v1\.Order.*known are .*AgentExecution, /,
    ],
    [
      "an unknown message in binary",
      payloadOf("binary/protobuf", "", "acme.v1.Order"),
      /binary\/protobuf .*acme\.v1\.Order/,
    ],
    ["no message type", payloadOf("json/protobuf", "{}"), /must set the metadata messageType/],
    ["no JSON", payloadOf("json/protobuf", "{", EXECUTION), /AgentExecution could not be read: .*JSON/],
    [
      "JSON of another form",
      payloadOf("json/protobuf", '{"spec":{"message":{}}}', EXECUTION),
      /AgentExecution could not be read: .*message/,
    ],
    [
      "cut bytes",
      payloadOf("binary/protobuf", new Uint8Array([10, 200]), EXECUTION),
      /AgentExecution could not be read/,
    ],
  ])("say in one line what is wrong with %s", (_what, payload, expected) => {
    const failure = failureOf(() => payloadConverter.fromPayload(payload));
    expect(failure.message).toMatch(expected);
    expect(failure.message).not.toContain("\n");
    expect([failure.type, failure.nonRetryable]).toEqual([FAILURE_TYPES.unreadable, true]);
  });

  it("that are not meant to travel are refused before they do", () => {
    const failure = failureOf(() => payloadConverter.toPayload(create(SessionSchema)));
    expect(failure.message).toMatch(/session\.v1\.Session can't be sent: known are .*InboxItem/);
    expect(failureOf(() => payloadConverter.toPayload(create(StructSchema))).message).toMatch(
      /google\.protobuf\.Struct/,
    );
  });
});

describe("all else", () => {
  it.each([
    ["a text", "ses-1", "json/plain", '"ses-1"'],
    ["null", null, "json/plain", "null"],
    ["an object", { maxAttempts: 3, list: ["a"] }, "json/plain", '{"maxAttempts":3,"list":["a"]}'],
    ["nothing", undefined, "binary/null", ""],
    ["bytes", new Uint8Array([104, 105]), "binary/plain", "hi"],
  ])("%s travels as Temporal's own converter has it", (_what, value, encoding, data) => {
    const payload = payloadConverter.toPayload(value);
    expect(textOf(payload.metadata?.["encoding"])).toBe(encoding);
    expect(textOf(payload.data)).toBe(data);
    expect(payloadConverter.fromPayload(payload)).toEqual(value);
  });
});

describe("messageOf", () => {
  const task = { sandboxId: "box-1", sessionId: "ses-1" };

  it("takes a message, the same as plain JSON, and nothing", () => {
    const message = create(CleanupSandboxTaskSchema, task);
    expect(messageOf(CleanupSandboxTaskSchema, message)).toBe(message);
    expect(messageOf(CleanupSandboxTaskSchema, { ...task, of_tomorrow: 1 })).toEqual(message);
    expect(messageOf(CleanupSandboxTaskSchema, undefined)).toEqual(create(CleanupSandboxTaskSchema));
  });

  it.each([
    ["another message", create(InboxItemSchema), /Expected a .*CleanupSandboxTask, got a .*InboxItem/],
    ["a text", "box-1", /CleanupSandboxTask could not be read/],
    ["null", null, /CleanupSandboxTask could not be read/],
    ["a list", [task], /CleanupSandboxTask could not be read/],
    ["a wrong field", { sandboxId: 7 }, /CleanupSandboxTask could not be read: .*sandbox_id/],
  ])("refuses %s", (_what, value, expected) => {
    expect(failureOf(() => messageOf(CleanupSandboxTaskSchema, value)).message).toMatch(expected);
  });
});

it("is found by the path that clients and workers load it from", () => {
  const loaded = createRequire(import.meta.url)(dataConverter.payloadConverterPath ?? "") as {
    payloadConverter: unknown;
  };
  expect(loaded.payloadConverter).toMatchObject({ toPayload: expect.any(Function), fromPayload: expect.any(Function) });
});
