import { setImmediate as nextTurn } from "node:timers/promises";
import type { ModelProvider } from "./model-config.ts";

/**
 * Joins the pieces of a streamed answer that are there at once into one, where nothing but their text differs. A client, LangGraph and a
 * status each do their work per piece, some tenth of a millisecond; pieces pile up where a provider or a proxy sends many together, and
 * where this process is too busy to read each as it comes: then reading them one by one is what keeps it busy. Nothing is waited for: a
 * piece that comes alone goes on alone, at once, and what is not understood goes on as it came.
 *
 * After the first piece of a text, this process turns to its connections before it goes on: an answer that is there as a whole would
 * otherwise be worked on to its end, with what there is to tell of its first word waiting for that.
 *
 * @param body The answer as it comes. What was read of it before it failed comes out first, then the error.
 */
export function joinPieces(body: ReadableStream<Uint8Array>, provider: ModelProvider): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const join = createJoiner(provider);
  let parts: Uint8Array[] = [];
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (parts.length > 0) {
          await nextTurn();
        } else {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          parts = join(value);
        }
        const next = parts.shift();
        if (next !== undefined) controller.enqueue(next);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // What is read ahead would be lost when the answer breaks off.
    { highWaterMark: 0 },
  );
}

/** Whose beginnings are handed on by themselves: more than an answer has, unless it names each piece otherwise. */
const MOST_TEXTS = 32;

/**
 * Takes the bytes of an answer as they come, however they are cut, and gives what to hand on in their place: in parts, each of
 * which ends where a text has begun. @internal
 */
export function createJoiner(provider: ModelProvider): (chunk: Uint8Array) => Uint8Array[] {
  const { end, pieceOf } = PROTOCOLS[provider];
  const begun = new Set<string>();
  let isAtStart = true;
  return (chunk) => {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const start = isAtStart ? 0 : endOf(bytes.indexOf(end), end);
    const stop = endOf(bytes.lastIndexOf(end), end);
    isAtStart = stop === bytes.length;
    if (stop <= start) return [chunk];
    const frames = bytes.toString("utf8", start, stop - end.length).split(end);
    const joined = joinFrames(frames, pieceOf);
    const begins = ({ place }: JoinedFrame): boolean =>
      place !== undefined && !begun.has(place) && begun.size < MOST_TEXTS;
    const isAsItCame = joined.length === frames.length;
    if (isAsItCame && !joined.some(begins)) return [chunk];
    const parts: Buffer[] = [];
    let open = [bytes.subarray(0, start)];
    for (const each of joined) {
      open.push(Buffer.from(`${each.frame}${end}`));
      if (each.place === undefined || !begins(each)) continue;
      begun.add(each.place);
      parts.push(Buffer.concat(open));
      open = [];
    }
    const last = Buffer.concat([...open, bytes.subarray(stop)]);
    if (last.length > 0) parts.push(last);
    return isAsItCame && parts.length === 1 ? [chunk] : parts;
  };
}

function endOf(at: number, end: string): number {
  return at < 0 ? 0 : at + end.length;
}

/** One frame that adds a text to an answer. */
interface Piece {
  /** The same for pieces that can be told as one. */
  readonly place: string;
  readonly text: string;
  /** The frame with another text. */
  with(text: string): string;
}

/** What is handed on, with the place of the text that it adds to, if it does. */
interface JoinedFrame {
  readonly frame: string;
  readonly place?: string;
}

function joinFrames(frames: readonly string[], pieceOf: Protocol["pieceOf"]): JoinedFrame[] {
  const joined: JoinedFrame[] = [];
  let run: Piece[] = [];
  const close = (): void => {
    const last = run.at(-1);
    if (last !== undefined) joined.push({ frame: last.with(run.map(({ text }) => text).join("")), place: last.place });
    run = [];
  };
  for (const frame of frames) {
    const piece = pieceOf(frame);
    if (piece === undefined || piece.place !== run[0]?.place) close();
    if (piece === undefined) joined.push({ frame });
    else run.push(piece);
  }
  close();
  return joined;
}

interface Protocol {
  /** What ends a frame. */
  readonly end: string;
  pieceOf(frame: string): Piece | undefined;
}

const PROTOCOLS: Readonly<Record<ModelProvider, Protocol>> = {
  anthropic: { end: "\n\n", pieceOf: anthropicPiece },
  openai: { end: "\n\n", pieceOf: (frame) => chatPiece(frame) ?? responsesPiece(frame) },
  ollama: { end: "\n", pieceOf: ollamaPiece },
};

type Fields = Readonly<Record<string, unknown>>;

const ANTHROPIC_DELTA = "event: content_block_delta\ndata: ";
const ANTHROPIC_TEXTS = new Map<unknown, string>([
  ["text_delta", "text"],
  ["thinking_delta", "thinking"],
  ["input_json_delta", "partial_json"],
]);

function anthropicPiece(frame: string): Piece | undefined {
  if (!frame.startsWith(ANTHROPIC_DELTA)) return undefined;
  const event = parse(frame.slice(ANTHROPIC_DELTA.length));
  const delta = event?.["delta"] as Fields | undefined;
  const name = ANTHROPIC_TEXTS.get(delta?.["type"]);
  if (event === undefined || delta === undefined || name === undefined) return undefined;
  if (!hasOnly(event, ["type", "index", "delta"]) || !hasOnly(delta, ["type", name])) return undefined;
  return pieceAt(delta[name], {
    place: `${String(event["index"])} ${name}`,
    frame: (text) => ANTHROPIC_DELTA + JSON.stringify({ ...event, delta: { ...delta, [name]: text } }),
  });
}

const CHAT_TEXTS = ["content", "reasoning_content", "reasoning", "refusal"] as const;

/** Chat Completions. */
function chatPiece(frame: string): Piece | undefined {
  if (!frame.startsWith("data: {")) return undefined;
  const event = parse(frame.slice("data: ".length));
  const [choice, ...others] = (event?.["choices"] ?? []) as readonly Fields[];
  // Which tokens there were, and how many, is told of each piece by itself, where it is told.
  if (choice === undefined || others.length > 0 || isSaid(event?.["usage"])) return undefined;
  if (isSaid(choice["finish_reason"]) || isSaid(choice["logprobs"])) return undefined;
  const delta = (choice["delta"] ?? {}) as Fields;
  const withDelta = (changed: Fields): string =>
    `data: ${JSON.stringify({ ...event, choices: [{ ...choice, delta: changed }] })}`;
  const place = `${String(event?.["id"])} ${String(choice["index"])} ${Object.keys(delta).join(" ")}`;
  // Some servers say in each piece whose it is.
  const name = CHAT_TEXTS.find((each) => each in delta);
  if (name !== undefined && hasOnly(delta, ["role", name]))
    return pieceAt(delta[name], { place, frame: (text) => withDelta({ ...delta, [name]: text }) });
  const [call, ...otherCalls] = (delta["tool_calls"] ?? []) as readonly Fields[];
  const called = call?.["function"] as Fields | undefined;
  if (called === undefined || otherCalls.length > 0 || !hasOnly(delta, ["tool_calls"])) return undefined;
  if (!hasOnly(call ?? {}, ["index", "function"]) || !hasOnly(called, ["arguments"])) return undefined;
  return pieceAt(called["arguments"], {
    place: `${place} ${String(call?.["index"])}`,
    frame: (text) => withDelta({ tool_calls: [{ ...call, function: { arguments: text } }] }),
  });
}

const RESPONSES_DELTA =
  /^event: (?<type>response\.(?:output_text|function_call_arguments|reasoning_summary_text)\.delta)\ndata: /;

/** The Responses API. */
function responsesPiece(frame: string): Piece | undefined {
  const [head = "", type = ""] = RESPONSES_DELTA.exec(frame) ?? [];
  if (head === "") return undefined;
  const event = parse(frame.slice(head.length));
  if (event === undefined || event["type"] !== type || (event["logprobs"] as readonly unknown[] | undefined)?.length)
    return undefined;
  const at = ["item_id", "output_index", "content_index", "summary_index"].map((name) => event[name]);
  return pieceAt(event["delta"], {
    place: JSON.stringify([type, ...at]),
    frame: (delta) => head + JSON.stringify({ ...event, delta }),
  });
}

function ollamaPiece(frame: string): Piece | undefined {
  const event = parse(frame);
  const message = event?.["message"] as Fields | undefined;
  if (message === undefined || event?.["done"] !== false) return undefined;
  if (!hasOnly(event, ["model", "created_at", "message", "done"])) return undefined;
  if (!hasOnly(message, ["role", "content", "thinking"])) return undefined;
  // While it thinks, the content is there and empty.
  const name = message["content"] === "" && message["thinking"] !== undefined ? "thinking" : "content";
  if (name === "content" && message["thinking"] !== undefined) return undefined;
  return pieceAt(message[name], {
    place: name,
    frame: (text) => JSON.stringify({ ...event, message: { ...message, [name]: text } }),
  });
}

function pieceAt(
  text: unknown,
  { place, frame }: { readonly place: string; readonly frame: (text: string) => string },
): Piece | undefined {
  return typeof text === "string" ? { place, text, with: frame } : undefined;
}

function parse(json: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

function hasOnly(fields: Fields, names: readonly string[]): boolean {
  return Object.keys(fields).every((name) => names.includes(name));
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}
