import { createHash } from "node:crypto";
import { type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type AgentExecutionStatus, AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";

/** A final status without what differs from one run to the next. */
export type NormalStatus = JsonObject;

// What a clock or a meter wrote, and what the server counts by itself.
const DROPPED: ReadonlySet<string> = new Set([
  "startedAt",
  "completedAt",
  "timestamp",
  "createdAt",
  "updatedAt",
  "revision",
  "usage",
  "timing",
  "audit",
  "callbackToken",
]);

/**
 * Drops times, revision, usage, timing, audit, and what sub-agents said and called (side by side they come in any order, and a model
 * that is asked again may word it otherwise), but for what they returned;
 * names messages, tool calls and sub-agents by their order; writes `<name>` for each of `places` (a folder, an id) wherever it stands in a text. All else stays as it is: every message, its text, each tool
 * call with its arguments, result, error and status, sub-agents, todos, phase and error.
 */
export function normalStatus(
  status: AgentExecutionStatus,
  places: Readonly<Record<string, string>> = {},
): NormalStatus {
  const messages = status.messages.filter(({ subAgentId }) => subAgentId === "");
  const asked = new Set(messages.flatMap(({ toolCalls }) => toolCalls.map(({ id }) => id)));
  const toolCalls = status.toolCalls.filter(({ id }) => asked.has(id));
  const subAgentExecutions = status.subAgentExecutions.filter(({ parentId }) => parentId === "");
  const names = new Map<string, string>();
  const name = (id: string, kind: string): void => {
    if (id !== "" && !names.has(id)) names.set(id, `<${kind} ${names.size + 1}>`);
  };
  for (const message of messages) {
    name(message.id, "message");
    for (const call of message.toolCalls) name(call.id, "call");
  }
  for (const call of toolCalls) name(call.id, "call");
  for (const subAgent of subAgentExecutions) name(subAgent.id, "call");
  for (const id of Object.keys(status.todos)) name(id, "todo");
  // The longest first: one may begin with another.
  const texts = [...Object.entries(places).map(([label, text]) => [text, `<${label}>`] as const), ...names]
    .filter(([text]) => text !== "")
    .sort(([a], [b]) => b.length - a.length);
  const replace = (text: string): string => texts.reduce((before, [from, to]) => before.replaceAll(from, to), text);
  const walk = (value: JsonValue): JsonValue => {
    if (typeof value === "string") return replace(value);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => !DROPPED.has(key))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, inner]) => [replace(key), walk(inner)]),
    );
  };
  return walk(
    toJson(AgentExecutionStatusSchema, { ...status, messages, toolCalls, subAgentExecutions }),
  ) as NormalStatus;
}

/** The names of the calls that ended with an unknown outcome. */
export function unknownCalls(status: NormalStatus): ReadonlySet<string> {
  const found = new Set<string>();
  visit(status, (object) => {
    if (object["status"] === "TOOL_CALL_OUTCOME_UNKNOWN" && typeof object["id"] === "string") found.add(object["id"]);
  });
  return found;
}

/** The status without what is said of how these calls ended. */
export function withoutOutcomes(status: NormalStatus, calls: ReadonlySet<string>): NormalStatus {
  const copy = structuredClone(status);
  visit(copy, (object) => {
    const isCall = typeof object["id"] === "string" && calls.has(object["id"]);
    if (!isCall) return;
    for (const key of ["status", "result", "error"]) delete object[key];
  });
  return copy;
}

function visit(value: JsonValue, see: (object: Record<string, JsonValue>) => void): void {
  if (Array.isArray(value)) for (const inner of value) visit(inner, see);
  else if (typeof value === "object" && value !== null) {
    see(value);
    for (const inner of Object.values(value)) visit(inner, see);
  }
}

export function hashStatus(status: NormalStatus): string {
  return createHash("sha256").update(JSON.stringify(status)).digest("hex");
}

/** Where the two differ, for people: `messages[2].content: "a" → "b"`. */
export function differencesOf(expected: JsonValue, actual: JsonValue, path = ""): string[] {
  if (isObject(expected) && isObject(actual)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    return [...keys].flatMap((key) =>
      differencesOf(expected[key] ?? null, actual[key] ?? null, path === "" ? key : `${path}.${key}`),
    );
  }
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return Array.from({ length: Math.max(expected.length, actual.length) }, (_, index) =>
      differencesOf(expected[index] ?? null, actual[index] ?? null, `${path}[${index}]`),
    ).flat();
  }
  return expected === actual ? [] : [`${path}: ${show(expected)} → ${show(actual)}`];
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
