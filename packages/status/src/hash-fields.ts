import type {
  AgentExecutionStatus,
  AgentMessage,
  ComponentMetadata,
  ExecutionUsage,
  ModelCallUsage,
  RunTiming,
  SkillUse,
  SubAgentExecution,
  TodoItem,
  ToolCall,
  ToolCallApproval,
} from "@stigmer/protos/agentexecution/v1";
import { type Hash, hashInteger, hashList, hashMap, hashStruct, hashText, joinAll, place } from "./hash-value.ts";

/** One field of a message as it counts into the hash; what is unset does not count. */
export interface Field<T> {
  readonly number: number;
  /** A value that is the same object has not changed. */
  readonly read: (message: T) => unknown;
  /** Undefined for what is unset. */
  readonly hash: (message: T) => Hash | undefined;
}

/** All fields of a message but its lists of rows, which `StateHash` keeps. */
export type Fields<T> = readonly Field<T>[];

type KeysOf<T, V> = { [K in keyof T]-?: T[K] extends V ? K : never }[keyof T];

function text<T, K extends KeysOf<T, string>>(number: number, key: K): Field<T> {
  const read = (message: T): string => message[key] as string;
  return { number, read, hash: (message) => (read(message) === "" ? undefined : hashText(read(message))) };
}

function integer<T, K extends KeysOf<T, number>>(number: number, key: K): Field<T> {
  const read = (message: T): number => message[key] as number;
  return { number, read, hash: (message) => (read(message) === 0 ? undefined : hashInteger(read(message))) };
}

/** A message within the message; one that is there and empty counts. */
function nested<T, V>(number: number, read: (message: T) => V | undefined, hashOf: (value: V) => Hash): Field<T> {
  return {
    number,
    read,
    hash: (message) => {
      const value = read(message);
      return value === undefined ? undefined : hashOf(value);
    },
  };
}

function hashFields<T>(fields: Fields<T>, message: T): Hash {
  return joinAll(
    fields.flatMap((field) => {
      const hash = field.hash(message);
      return hash === undefined ? [] : [place(field.number, hash)];
    }),
  );
}

const component: Fields<ComponentMetadata> = [
  text(1, "componentType"),
  text(2, "componentGroup"),
  text(3, "layoutHint"),
  nested(4, ({ metadata }) => metadata, hashStruct),
];

const todo: Fields<TodoItem> = [
  text(1, "id"),
  text(2, "content"),
  integer(3, "status"),
  text(4, "createdAt"),
  text(5, "updatedAt"),
];

const usage: Fields<ExecutionUsage> = [
  integer(1, "inputTokens"),
  integer(2, "outputTokens"),
  integer(3, "cachedInputTokens"),
  integer(4, "reasoningTokens"),
  integer(5, "modelCalls"),
  integer(6, "toolCalls"),
  integer(7, "costMicroUsd"),
  integer(8, "timeToFirstTokenMs"),
  integer(9, "longestSilenceMs"),
  integer(10, "activeMs"),
];

const timing: Fields<RunTiming> = [
  integer(1, "queuedMs"),
  integer(2, "setupMs"),
  integer(3, "modelMs"),
  integer(4, "toolsMs"),
  integer(5, "otherMs"),
  integer(6, "waitingMs"),
  integer(7, "totalMs"),
  integer(8, "attempts"),
  text(9, "traceparent"),
];

const modelCallUsage: Fields<ModelCallUsage> = [
  text(1, "model"),
  integer(2, "inputTokens"),
  integer(3, "outputTokens"),
  integer(4, "cachedInputTokens"),
  integer(5, "reasoningTokens"),
  integer(6, "costMicroUsd"),
];

const skill: Fields<SkillUse> = [text(1, "name"), text(2, "versionHash"), text(3, "path"), text(4, "subAgent")];

const approval: Fields<ToolCallApproval> = [
  text(1, "reason"),
  text(2, "requestedAt"),
  integer(3, "decision"),
  integer(4, "scope"),
  text(5, "decidedBy"),
  text(6, "decidedAt"),
  text(7, "comment"),
  text(8, "callKey"),
];

export const toolCallFields: Fields<ToolCall> = [
  text(1, "id"),
  text(2, "name"),
  nested(3, ({ args }) => args, hashStruct),
  text(4, "result"),
  integer(5, "status"),
  nested(
    6,
    ({ componentMetadata }) => componentMetadata,
    (value) => hashFields(component, value),
  ),
  text(7, "startedAt"),
  text(8, "completedAt"),
  text(9, "error"),
  nested(
    1000,
    (call) => call.approval,
    (value) => hashFields(approval, value),
  ),
  text(1001, "subAgentId"),
];

export const subAgentFields: Fields<SubAgentExecution> = [
  text(1, "id"),
  text(2, "name"),
  text(3, "input"),
  text(4, "output"),
  integer(5, "status"),
  text(6, "startedAt"),
  text(7, "completedAt"),
  text(8, "error"),
  nested(9, ({ metadata }) => metadata, hashStruct),
  nested(
    1000,
    (task) => task.usage,
    (value) => hashFields(usage, value),
  ),
  text(1001, "parentId"),
];

export const contentField: Field<AgentMessage> = text(2, "content");
export const reasoningField: Field<AgentMessage> = text(1001, "reasoning");

export const messageFields: Fields<AgentMessage> = [
  integer(1, "type"),
  contentField,
  text(3, "timestamp"),
  nested(5, ({ metadata }) => metadata, hashStruct),
  text(1000, "id"),
  reasoningField,
  nested(
    1002,
    (message) => message.usage,
    (value) => hashFields(modelCallUsage, value),
  ),
  text(1003, "subAgentId"),
];

/** Not: audit and callback token, which no delta changes, and the revision, which the server counts. */
export const statusFields: Fields<AgentExecutionStatus> = [
  integer(2, "phase"),
  text(6, "error"),
  text(7, "startedAt"),
  text(8, "completedAt"),
  {
    number: 9,
    read: ({ todos }) => todos,
    hash: ({ todos }) =>
      Object.keys(todos).length === 0 ? undefined : hashMap(todos, (item) => hashFields(todo, item)),
  },
  nested(
    1001,
    ({ usage: value }) => value,
    (value) => hashFields(usage, value),
  ),
  {
    number: 1002,
    read: ({ skills }) => skills,
    hash: ({ skills }) => (skills.length === 0 ? undefined : hashList(skills, (item) => hashFields(skill, item))),
  },
  nested(
    1003,
    ({ timing: value }) => value,
    (value) => hashFields(timing, value),
  ),
];
