/** A request in no provider's terms: what every protocol parses into and every scenario is matched against. */
export interface Conversation {
  readonly model: string;
  /** All system text, joined by blank lines. */
  readonly system: string;
  readonly messages: readonly Message[];
  /** Names of the tools the request offers. */
  readonly tools: readonly string[];
  /** Length of the whole request in characters, from which input tokens are estimated. */
  readonly size: number;
}

export type Message =
  | { readonly role: "human"; readonly text: string }
  | { readonly role: "assistant"; readonly text: string; readonly toolCalls: readonly RequestedToolCall[] }
  | { readonly role: "tool"; readonly callId: string; readonly text: string };

interface RequestedToolCall {
  readonly id: string;
  readonly name: string;
}

/** A finished tool call since the last human message. */
export interface ToolResult {
  readonly tool: string;
  readonly text: string;
}

/** Where a conversation stands, computed from the request alone: a re-sent request stands where it stood. */
export interface Position {
  /** Assistant messages since the last human message, which is the index of the turn to answer with. Repetitions don't count. */
  readonly turn: number;
  /** Given when calls of that turn have to be made once more: which of them, and how many repetitions that makes. */
  readonly repeat?: { readonly calls: readonly number[]; readonly count: number };
  /** Results since the last human message, in the order they came. */
  readonly results: readonly ToolResult[];
  /** What humans said, one entry an utterance. */
  readonly human: readonly string[];
}

/**
 * Human messages with nothing but other human messages between them are one utterance: clients split and add to them.
 * `isLost` says of a result that its call has to be made once more: it is no result then, and its turn is not over.
 */
export function locate(conversation: Conversation, isLost: (result: string) => boolean = () => false): Position {
  const human: string[] = [];
  let results: ToolResult[] = [];
  let names = new Map<string, string>();
  let turns = createTurns();
  let previous: Message["role"] | undefined;
  for (const message of conversation.messages) {
    if (message.role === "human") {
      if (previous === "human") {
        human.push(`${human.pop()}\n\n${message.text}`);
      } else {
        human.push(message.text);
        [turns, results, names] = [createTurns(), [], new Map()];
      }
    } else if (message.role === "assistant") {
      turns.begin(message.toolCalls);
      for (const call of message.toolCalls) names.set(call.id, call.name);
    } else {
      const tool = names.get(message.callId);
      if (isLost(message.text)) turns.lose(message.callId);
      else if (tool !== undefined) results.push({ tool, text: message.text });
    }
    previous = message.role;
  }
  return { ...turns.next(), results, human };
}

/** Counts turns, where one whose calls were lost is said again with those calls alone. */
function createTurns(): {
  begin(calls: readonly RequestedToolCall[]): void;
  lose(callId: string): void;
  next(): Pick<Position, "turn" | "repeat">;
} {
  let turn = 0;
  let count = 0;
  /** The calls of the last message, by the index that they have in their turn. */
  let calls = new Map<string, number>();
  const lost = new Set<number>();
  return {
    begin(asked) {
      const repeated = [...lost].toSorted();
      if (repeated.length > 0) count += 1;
      else turn += 1;
      calls = new Map(asked.map(({ id }, index) => [id, repeated[index] ?? index]));
      lost.clear();
    },
    lose(callId) {
      const index = calls.get(callId);
      if (index !== undefined) lost.add(index);
    },
    next: () =>
      lost.size === 0 ? { turn } : { turn: turn - 1, repeat: { calls: [...lost].toSorted(), count: count + 1 } },
  };
}
