/** An answer in no provider's terms: what a turn becomes and every protocol encodes. */
export interface Reply {
  /** Derived from the conversation, so that the same request gets the same id and two turns never share one. */
  readonly id: string;
  readonly model: string;
  readonly parts: readonly ReplyPart[];
  /** The model declines to go on: the last part. */
  readonly refusal?: string;
  readonly usage: Usage;
  /** Characters (code points) a streamed piece holds. */
  readonly chunkSize: number;
}

export type ReplyPart =
  | { readonly type: "thinking"; readonly text: string }
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "toolCall";
      readonly id: string;
      readonly name: string;
      readonly args: Readonly<Record<string, unknown>>;
    };

/** Tokens, estimated at four characters each. */
interface Usage {
  readonly input: number;
  /** Reasoning included. */
  readonly output: number;
  readonly reasoning: number;
}

export function stopsForTools(reply: Reply): boolean {
  return reply.parts.some((part) => part.type === "toolCall");
}

export function estimateTokens(characters: number): number {
  return Math.max(1, Math.ceil(characters / 4));
}

/** Splits by code points, so that no piece ends inside a surrogate pair. The pieces joined are the text. */
export function* chunkText(text: string, size: number): Generator<string> {
  let piece = "";
  let length = 0;
  for (const character of text) {
    piece += character;
    length += 1;
    if (length === size) {
      yield piece;
      piece = "";
      length = 0;
    }
  }
  if (piece !== "") yield piece;
}
