// Finds an agent that does the same again and again, by nothing but its conversation: so it is found after a crash too.
import { AIMessage, type BaseMessage, ToolMessage } from "@langchain/core/messages";

/** A result that came before, and how often in a row. */
export interface Repetition {
  readonly toolName: string;
  /** The call that gave it last. */
  readonly toolCallId: string;
  readonly times: number;
}

/**
 * Of every result in the conversation that had its like in the turn before, or in its own, how often it has come in a row by
 * then. The same means: the same tool, equal arguments in whatever order of their keys, and an equal result. What a person says
 * begins a new count.
 */
export function findRepetitions(messages: readonly BaseMessage[]): readonly Repetition[] {
  const found: Repetition[] = [];
  /** How often in a row, by call and result. */
  let before = new Map<string, number>();
  let turn = new Map<string, number>();
  let calls = new Map<string, string>();
  for (const message of messages) {
    if (message.type === "human") {
      before = new Map();
      turn = new Map();
    } else if (AIMessage.isInstance(message) && (message.tool_calls?.length ?? 0) > 0) {
      before = turn;
      turn = new Map();
      calls = new Map(message.tool_calls?.map(({ id = "", name, args }) => [id, `${name} ${canonical(args)}`]));
    } else if (ToolMessage.isInstance(message)) {
      const { tool_call_id: id } = message;
      const call = calls.get(id);
      if (call === undefined) continue;
      const same = `${call} ${resultOf(message)}`;
      const times = (turn.get(same) ?? before.get(same) ?? 0) + 1;
      turn.set(same, times);
      if (times > 1) found.push({ toolName: message.name ?? call.split(" ", 1)[0] ?? "", toolCallId: id, times });
    }
  }
  return found;
}

/**
 * JSON whose keys are in order.
 *
 * @internal for its own test.
 */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** A result names its call where it was put into a file. */
function resultOf({ content, status, tool_call_id: id }: ToolMessage): string {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  return `${status ?? ""} ${id === "" ? text : text.replaceAll(id, "")}`;
}
