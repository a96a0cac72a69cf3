// LangChain's agents hand each tool call the whole state along with it, the conversation included. Kept as it is, a step of a
// long conversation would write the conversation once more for each of its calls.

/** A task that is handed its input, as LangGraph keeps it. */
interface Send {
  readonly node: string;
  readonly args: unknown;
}

/** A `Send` without the parts of its input that its checkpoint holds anyway. */
interface SharedSend {
  readonly send: Send;
  /** Keys of the input whose value is that of the channel of the same name. */
  readonly shared: readonly string[];
}

/** Stands before the type of a value that `restoreSends` has to put together again. */
export const sharedSendsPrefix = "sends+";

/**
 * What to keep of a list of sends beside the channels of its checkpoint, or undefined when nothing of it is shared. Only what
 * is the very same there is left out.
 */
export function shareSends(value: unknown, channels: Readonly<Record<string, unknown>>): SharedSend[] | undefined {
  if (!Array.isArray(value) || !value.every(isSend)) return undefined;
  const sends = value.map((send) => shareSend(send, channels));
  return sends.some(({ shared }) => shared.length > 0) ? sends : undefined;
}

/** The other way. */
export function restoreSends(value: unknown, channels: Readonly<Record<string, unknown>>): Send[] {
  return (value as readonly SharedSend[]).map(({ send, shared }) => ({
    ...send,
    args: { ...(send.args as object), ...Object.fromEntries(shared.map((key) => [key, channels[key]])) },
  }));
}

function shareSend(send: Send, channels: Readonly<Record<string, unknown>>): SharedSend {
  const { args } = send;
  if (args === null || typeof args !== "object" || Object.getPrototypeOf(args) !== Object.prototype) {
    return { send, shared: [] };
  }
  const entries = Object.entries(args);
  const shared = entries.filter(([key, input]) => isSame(input, channels[key])).map(([key]) => key);
  if (shared.length === 0) return { send, shared };
  const own = Object.fromEntries(entries.filter(([key]) => !shared.includes(key)));
  // A copy of the send itself would not be known for one any more.
  const { node, timeout } = send as Send & { readonly timeout?: unknown };
  return { send: { node, args: own, ...(timeout !== undefined && { timeout }) } as Send, shared };
}

/** By identity: what a step did not change is the same object before and after it, in a list that LangGraph makes anew. */
function isSame(input: unknown, channel: unknown): boolean {
  if (!Array.isArray(input) || !Array.isArray(channel)) return isObject(input) && input === channel;
  return input.length > 0 && input.length === channel.length && input.every((item, at) => isEqual(item, channel[at]));
}

function isEqual(a: unknown, b: unknown): boolean {
  return isObject(a) && a === b;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function isSend(value: unknown): value is Send {
  return isObject(value) && typeof (value as Send).node === "string" && "args" in (value as Send);
}
