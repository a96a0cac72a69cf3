// Runs as the laws of this package are checked with them.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  type ExecutionPhase,
  MessageType,
  type StatusChange,
  StatusChangeSchema,
  type StatusDelta,
  StatusDeltaSchema,
  type SubAgentStatus,
  TextKind,
  TodoStatus,
  type ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { createStatusFold } from "../status-fold.ts";
import { utf8Length } from "../utf8.ts";

type ChangeInit = NonNullable<MessageInitShape<typeof StatusChangeSchema>["change"]>;

export function delta(...changes: ChangeInit[]): StatusDelta {
  return create(StatusDeltaSchema, { changes: changes.map((change) => ({ change })) });
}

export function fold(deltas: readonly StatusDelta[], from?: AgentExecutionStatus): AgentExecutionStatus {
  const folded = createStatusFold(from);
  for (const each of deltas) folded.apply(each);
  return folded.status;
}

// What each message says in the end; a run says a beginning of it, so overlapping pieces agree.
const scripts = ["Hello 😀 wörld", "€uro and 漢字 🎉🎉", "plain"];

const change: fc.Arbitrary<(status: AgentExecutionStatus) => ChangeInit | undefined> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.nat(2).map((m) => () => ({
      case: "messageStarted" as const,
      value: {
        messageId: `m${m}`,
        type: MessageType.MESSAGE_AI,
        timestamp: "t",
        subAgentId: m === 1 ? "c1" : "",
      },
    })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ m: fc.nat(2), model: fc.constantFrom("", "a", "b"), outputTokens: fc.nat(2) })
      .map(({ m, model, outputTokens }) => (now: AgentExecutionStatus) => {
        if (!now.messages.some(({ id }) => id === `m${m}`)) return undefined;
        return { case: "messageUsage" as const, value: { messageId: `m${m}`, usage: { model, outputTokens } } };
      }),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.nat(2), { maxLength: 3 }).map((names) => () => ({
      case: "skills" as const,
      value: { skills: names.map((name) => ({ name: `s${name}`, versionHash: "v", path: `/${name}` })) },
    })),
  },
  {
    weight: 8,
    arbitrary: fc
      .record({
        m: fc.nat(2),
        kind: fc.constantFrom(TextKind.CONTENT, TextKind.REASONING),
        back: fc.nat(3),
        length: fc.nat(6),
      })
      .map(({ m, kind, back, length }) => (status: AgentExecutionStatus) => {
        const message = status.messages.find(({ id }) => id === `m${m}`);
        if (message === undefined) return undefined;
        const have = [...(kind === TextKind.REASONING ? message.reasoning : message.content)].length;
        const script = [...(scripts[m] ?? "")];
        const from = Math.max(0, have - back);
        const text = script.slice(from, from + length).join("");
        return {
          case: "textAppended" as const,
          value: { messageId: `m${m}`, kind, offset: utf8Length(script.slice(0, from).join("")), text },
        };
      }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(2).map((m) => () => ({ case: "messageRemoved" as const, value: { messageId: `m${m}` } })),
  },
  {
    weight: 4,
    arbitrary: fc
      .record({
        c: fc.nat(3),
        status: fc.constantFrom(0, 1, 2, 3, 4),
        result: fc.constantFrom("", "r1", "r2"),
        args: fc.option(fc.oneof(fc.record({ a: fc.nat(2) }), fc.constant({})), { nil: undefined }),
        approval: fc.option(fc.record({ reason: fc.constantFrom("", "why"), decision: fc.nat(4) }), { nil: undefined }),
        subAgentId: fc.constantFrom("", "c0"),
      })
      .map(({ c, status, result, args, approval, subAgentId }) => (now: AgentExecutionStatus) => {
        // A call belongs to one message for good, and the last of them to none.
        const messageId = c === 3 ? "" : `m${c}`;
        if (messageId !== "" && !now.messages.some(({ id }) => id === messageId)) return undefined;
        return {
          case: "toolCall" as const,
          value: {
            messageId,
            call: { id: `c${c}`, status: status as ToolCallStatus, result, args, approval, subAgentId },
          },
        };
      }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(3).map((c) => () => ({ case: "toolCallRemoved" as const, value: { toolCallId: `c${c}` } })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        s: fc.nat(3),
        status: fc.nat(4),
        output: fc.constantFrom("", "o"),
        usage: fc.option(fc.record({ toolCalls: fc.nat(2) }), { nil: undefined }),
        parentId: fc.constantFrom("", "c0"),
      })
      .map(({ s, status, output, usage, parentId }) => () => ({
        case: "subAgent" as const,
        value: { subAgent: { id: `c${s}`, status: status as SubAgentStatus, output, usage, parentId } },
      })),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.nat(2), { maxLength: 3 }).map((ids) => () => ({
      case: "todos" as const,
      value: {
        todos: Object.fromEntries(ids.map((id) => [`t${id}`, { id: `t${id}`, status: TodoStatus.TODO_PENDING }])),
      },
    })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ inputTokens: fc.nat(9), costMicroUsd: fc.nat(3) })
      .map((value) => () => ({ case: "usage" as const, value })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        phase: fc.constantFrom(0, 1, 2, 3, 4, 5),
        error: fc.constantFrom("", "e1", "e2"),
        completedAt: fc.constantFrom("", "t1", "t2"),
      })
      .map((value) => () => ({ case: "run" as const, value: value as { phase: ExecutionPhase } })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ m: fc.option(fc.nat(2), { nil: undefined }), phase: fc.constantFrom(0, 2, 3) })
      .map(({ m, phase }) => () => ({
        case: "merged" as const,
        value: {
          phase: phase as ExecutionPhase,
          messages:
            m === undefined
              ? []
              : [{ id: `m${m}`, content: (scripts[m] ?? "").slice(0, 3), toolCalls: [{ id: `c${m}`, name: "old" }] }],
          toolCalls: m === undefined ? [] : [{ id: `c${m}`, name: "old" }],
          skills: m === 2 ? [{ name: "old" }] : [],
        },
      })),
  },
);

/** A run's deltas, each of which fits what came before. */
export const run: fc.Arbitrary<StatusDelta[]> = fc
  .array(fc.array(change, { minLength: 1, maxLength: 6 }), { maxLength: 14 })
  .map((batches) => {
    const folded = createStatusFold();
    return batches.map((batch) => {
      const changes: StatusChange[] = [];
      for (const each of batch) {
        const init = each(folded.status);
        if (init === undefined) continue;
        const made = create(StatusChangeSchema, { change: init });
        folded.apply(create(StatusDeltaSchema, { changes: [made] }));
        changes.push(made);
      }
      return create(StatusDeltaSchema, { changes });
    });
  });

