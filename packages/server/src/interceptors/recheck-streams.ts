import {
  Code,
  ConnectError,
  type ContextKey,
  createContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { type Authenticator, bearerOf, callerOf, type Principal } from "./principal.ts";

export interface RecheckStreamsOptions {
  readonly authenticator: Authenticator;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** How often a stream's caller is looked at again, in milliseconds. Default 3 s. */
  readonly everyMs?: number;
}

const EVERY_MS = 3_000;

const lookKey: ContextKey<() => Promise<boolean>> = createContextKey(async () => true, {
  description: "whether the stream's caller is still one",
});

/** Whether the caller of a stream would be taken if it called now: for what is not to be told for three seconds more. */
export function isCallerStillGood({ values }: Pick<HandlerContext, "values">): Promise<boolean> {
  return values.get(lookKey)();
}

/**
 * A stream may outlive what opened it. So its caller is looked at again every three seconds, and when its key or token ends: a stream of
 * one that has expired, was taken back, or opens something else now ends with UNAUTHENTICATED. As long as nobody can say
 * (the store or the issuer is away) it goes on, up to the end that is known.
 */
export function recheckStreams(options: RecheckStreamsOptions): Interceptor {
  const { authenticator, clock, everyMs = EVERY_MS } = options;

  /** Why the caller is one no more. */
  async function refusalOf(caller: Principal, token: string): Promise<ConnectError | undefined> {
    try {
      const now = await authenticator(token);
      if (!now) return new ConnectError("the API key is not valid for this server any more", Code.Unauthenticated);
      if (now.id === caller.id && now.org === caller.org && now.role === caller.role) return undefined;
      return new ConnectError("what the API key opens has changed: call again", Code.Unauthenticated);
    } catch (error) {
      if (error instanceof ConnectError && error.code !== Code.Unavailable) {
        return new ConnectError(error.rawMessage, Code.Unauthenticated);
      }
      if (clock() < (caller.expiresAt ?? Number.POSITIVE_INFINITY)) return undefined;
      return new ConnectError("the API key or token has expired: show another", Code.Unauthenticated);
    }
  }

  /** Calls `refuse` once, when the caller is one no more. Answers how to stop looking. */
  function watchCaller(caller: Principal, token: string, refuse: (error: ConnectError) => void): () => void {
    const { expiresAt = Number.POSITIVE_INFINITY } = caller;
    let stopped = false;
    let timer: NodeJS.Timeout | undefined;
    const look = async (): Promise<void> => {
      const refusal = await refusalOf(caller, token);
      if (stopped) return;
      if (refusal) refuse(refusal);
      else wait();
    };
    const wait = (): void => {
      const left = expiresAt - clock();
      timer = setTimeout(() => void look(), left > 0 ? Math.min(everyMs, left) : everyMs).unref();
    };
    wait();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }

  return (next) => async (request) => {
    const caller = callerOf(request.contextValues);
    const token = bearerOf(request.header);
    if (request.stream && caller && token !== undefined)
      request.contextValues.set(lookKey, async () => (await refusalOf(caller, token)) === undefined);
    const response = await next(request);
    if (!response.stream || !caller || token === undefined) return response;
    const watch = (refuse: (error: ConnectError) => void): (() => void) => watchCaller(caller, token, refuse);
    return { ...response, message: untilRefused(response.message, watch) };
  };
}

/** The messages until `watch` refuses, which it does at any time, also while the next message is long in coming. */
async function* untilRefused<T>(
  messages: AsyncIterable<T>,
  watch: (refuse: (error: ConnectError) => void) => () => void,
): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let refusal: ConnectError | undefined;
  // Of the message that is waited for alone: a promise raced with each of a million messages would keep a million of them.
  let rejectNext: (error: ConnectError) => void = () => {};
  const stop = watch((error) => {
    refusal = error;
    rejectNext(error);
  });
  const next = (): Promise<IteratorResult<T>> =>
    new Promise((resolve, reject) => {
      if (refusal) return reject(refusal);
      rejectNext = reject;
      iterator.next().then(resolve, reject);
    });
  try {
    for (let result = await next(); !result.done; result = await next()) yield result.value;
  } finally {
    stop();
    // Not waited for: it comes to its end by the call's signal, which follows from ours.
    iterator.return?.().catch(() => {});
  }
}
