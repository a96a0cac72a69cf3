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
  /** Assistant messages since the last human message, which is the index of the turn to answer with. */
  readonly turn: number;
  /** Results since the last human message, in the order they came. */
  readonly results: readonly ToolResult[];
  /** What humans said, one entry an utterance. */
  readonly human: readonly string[];
}

/** Human messages with nothing but other human messages between them are one utterance: clients split and add to them. */
export function locate(conversation: Conversation): Position {
  const human: string[] = [];
  let turn = 0;
  let results: ToolResult[] = [];
  let names = new Map<string, string>();
  let previous: Message["role"] | undefined;
  for (const message of conversation.messages) {
    if (message.role === "human") {
      if (previous === "human") {
        human.push(`${human.pop()}\n\n${message.text}`);
      } else {
        human.push(message.text);
        [turn, results, names] = [0, [], new Map()];
      }
    } else if (message.role === "assistant") {
      turn += 1;
      for (const call of message.toolCalls) names.set(call.id, call.name);
    } else {
      const tool = names.get(message.callId);
      if (tool !== undefined) results.push({ tool, text: message.text });
    }
    previous = message.role;
  }
  return { turn, results, human };
}
