// Calls to Daytona by its SDK: each with a deadline of our own, and repeated where that is safe.
import type { Daytona } from "@daytonaio/sdk";
import pRetry from "p-retry";
import { SandboxError } from "../errors.ts";
import { isSilence, NoAnswer, toCallFailure, toSandboxError } from "./daytona-error.ts";

const retries = 4;
/** Whoever asks us to wait longer is told to the caller instead. */
const longestRetryAfterMs = 30_000;

const longestSilenceMs = 60_000;

export interface DaytonaClientOptions {
  readonly apiKey?: string | undefined;
  readonly apiUrl?: string | undefined;
  readonly target?: string | undefined;
  readonly requestTimeoutMs: number;
  /** Before the first repetition; twice as long before each further one. */
  readonly retryDelayMs: number;
}

export interface CallOptions {
  /** As "could not <what>". */
  readonly what: string;
  /** Whether doing it twice is the same as doing it once. Else it is only repeated when Daytona refused to begin. */
  readonly idempotent: boolean;
  /** Milliseconds for each attempt. Default `requestTimeoutMs`. */
  readonly deadlineMs?: number;
  /** Statuses that are an answer. The call then resolves with undefined. */
  readonly answers?: readonly number[];
  /** When it aborts, the call is given up. */
  readonly signal?: AbortSignal;
}

export interface DaytonaClient {
  readonly daytona: Daytona;
  /** Throws what the SDK throws; `toSandboxError` explains it. */
  attempt<T>(run: () => Promise<T>, options: CallOptions): Promise<T | undefined>;
  /** As `attempt`; throws `SandboxError`. */
  call<T>(run: () => Promise<T>, options: Omit<CallOptions, "answers">): Promise<T>;
  close(): Promise<void>;
}

/** Throws `backend-unavailable` when the SDK is not installed, and `permission` without an API key. */
export async function connect(options: DaytonaClientOptions): Promise<DaytonaClient> {
  const sdk = await loadSdk();
  const { apiKey, apiUrl, target, requestTimeoutMs, retryDelayMs } = options;
  let daytona: Daytona;
  try {
    daytona = new sdk.Daytona({
      ...(apiKey !== undefined && { apiKey }),
      ...(apiUrl !== undefined && { apiUrl }),
      ...(target !== undefined && { target }),
      requestTimeoutMs,
      // Else it opens a socket that keeps the process running until it is closed.
      useDeprecatedPolling: true,
    });
  } catch (cause) {
    const words = `Daytona can't be used: ${(cause as Error).message}`;
    throw new SandboxError("permission", `${words} Set apiKey, or DAYTONA_API_KEY.`, { cause });
  }

  const attempt = async <T>(run: () => Promise<T>, callOptions: CallOptions): Promise<T | undefined> => {
    const { idempotent, deadlineMs = requestTimeoutMs, answers = [], signal } = callOptions;
    const once = async (): Promise<T | undefined> => {
      try {
        return await withDeadline(run, deadlineMs, signal);
      } catch (error) {
        if (answers.includes(toCallFailure(error).status ?? 0)) return undefined;
        throw error;
      }
    };
    return pRetry(once, {
      retries,
      minTimeout: retryDelayMs,
      randomize: true,
      ...(signal && { signal }),
      async onFailedAttempt({ error, retriesLeft }) {
        const { status, retryAfterMs } = toCallFailure(error);
        if (status !== 429 || retryAfterMs === undefined || retriesLeft === 0) return;
        if (retryAfterMs <= longestRetryAfterMs) await new Promise((resolve) => setTimeout(resolve, retryAfterMs));
      },
      shouldRetry({ error, attemptNumber }) {
        // Who was silent for long is asked once more at most.
        if (isSilence(error) && (attemptNumber > 1 || deadlineMs > longestSilenceMs)) return false;
        const { status, retryAfterMs = 0 } = toCallFailure(error);
        if (status === 429) return retryAfterMs <= longestRetryAfterMs;
        return idempotent && (status === undefined || status >= 500);
      },
    });
  };

  return {
    daytona,
    attempt,
    async call<T>(run: () => Promise<T>, callOptions: Omit<CallOptions, "answers">): Promise<T> {
      try {
        return (await attempt(run, callOptions)) as T;
      } catch (error) {
        throw toSandboxError(error, callOptions.what);
      }
    },
    close: async () => daytona[Symbol.asyncDispose](),
  };
}

async function loadSdk(): Promise<{ readonly Daytona: typeof Daytona }> {
  try {
    return await import("@daytonaio/sdk");
  } catch (cause) {
    const words = "The daytona backend needs Daytona's SDK, which can't be loaded.";
    throw new SandboxError("backend-unavailable", `${words} Run: npm install @daytonaio/sdk@0.218`, { cause });
  }
}

/** The SDK takes no signal, and its own deadlines are the server's or a day long: what it still does is left behind. */
async function withDeadline<T>(run: () => Promise<T>, ms: number, signal?: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new NoAnswer(`it did not answer within ${ms} ms`)), ms);
  const abort = (): void => late.reject(new NoAnswer("nobody waits for the answer any more"));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([run(), late.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
