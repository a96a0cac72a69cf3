// The machine behind one sandbox: runs shell scripts and moves bytes, over whatever happens to the connection or to it.
import type { Sandbox as DaytonaSandbox } from "@daytonaio/sdk";
import { SandboxError } from "../errors.ts";
import type { CallOptions, DaytonaClient } from "./client.ts";
import { isSilence, tellsGone, toCallFailure, toSandboxError } from "./daytona-error.ts";
import { randomBytes } from "node:crypto";

/** For an answer to come back once the server has given up on a script. The SDK gives up after five seconds. */
const longestAnswerMs = 4000;

/** As many bytes take as long again as two requests may. */
const slowestBytes = 3_000_000;

export interface RunOptions {
  readonly what: string;
  readonly idempotent: boolean;
  /** Seconds until the server ends the script; it then has no output. Default: twice as long as a request may take. */
  readonly seconds?: number;
  /** When it aborts, nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
}

export interface Machine {
  readonly remote: DaytonaSandbox;
  /** What a script for /bin/sh printed, or undefined when its time was up. */
  run(script: string, options: RunOptions): Promise<string | undefined>;
  upload(files: readonly { readonly source: Buffer; readonly destination: string }[]): Promise<void>;
  /** In the order asked. A content of another size than told is one that broke off. */
  download(files: readonly { readonly path: string; readonly size: number }[]): Promise<Buffer[]>;
}

export interface MachineTimes {
  readonly startTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export function createMachine(remote: DaytonaSandbox, client: DaytonaClient, times: MachineTimes): Machine {
  /** Not much below 50 kB a second, as long as requests get their usual time. */
  const transferMs = (bytes: number): number => times.requestTimeoutMs * 2 * (1 + bytes / slowestBytes);
  const answerMs = Math.min(longestAnswerMs, times.requestTimeoutMs);
  const scriptSeconds = Math.ceil((times.requestTimeoutMs * 2) / 1000);
  let starting: Promise<void> | undefined;
  const start = (): Promise<void> => {
    starting ??= wake(remote, client, times.startTimeoutMs).finally(() => (starting = undefined));
    return starting;
  };

  /** Once more when the sandbox had merely been stopped, as its own timer does. */
  const attempt = async <T>(run: () => Promise<T>, options: CallOptions): Promise<T | undefined> => {
    try {
      return await client.attempt(run, options);
    } catch (error) {
      const { status } = toCallFailure(error);
      // What these say has nothing to do with its state.
      if (SandboxError.is(error) || options.signal?.aborted || status === 401 || status === 403 || status === 429) {
        throw toSandboxError(error, options.what);
      }
      if (isSilence(error) || (await stateOf(remote, client)) === "runs") throw explained(error, options.what);
      await start();
      try {
        return await client.attempt(run, options);
      } catch (again) {
        throw explained(again, options.what);
      }
    }
  };

  return {
    remote,
    async run(script, { what, idempotent, signal, seconds = scriptSeconds }) {
      // The daemon gives commands to whichever shell it finds; this one reads its own language from a document.
      const end = `end-${randomBytes(9).toString("hex")}`;
      const command = `/bin/sh <<'${end}'\n${script}\n${end}\n`;
      const once = async (): Promise<{ exitCode: number; result: string }> => {
        const answer = await remote.process.executeCommand(command, "/", undefined, seconds);
        // Something from outside ended it, such as a stop of the sandbox.
        if (answer.exitCode < 0 || answer.exitCode > 128) throw new Error("its shell was killed");
        return answer;
      };
      const response = await attempt(once, {
        what,
        idempotent,
        deadlineMs: seconds * 1000 + answerMs,
        answers: [408],
        ...(signal && { signal }),
      });
      if (response === undefined) return undefined;
      if (response.exitCode !== 0) {
        const words = `Daytona could not ${what}: its shell failed with ${response.exitCode}: ${response.result.slice(0, 500)}`;
        throw new SandboxError("backend-error", words);
      }
      return response.result;
    },
    async upload(files) {
      const bytes = files.reduce((sum, { source }) => sum + source.length, 0);
      await attempt(() => remote.fs.uploadFiles([...files], transferMs(bytes) / 1000), {
        what: "take files",
        idempotent: true,
        deadlineMs: transferMs(bytes),
      });
    },
    async download(files) {
      const what = "hand out files";
      const ms = transferMs(files.reduce((sum, { size }) => sum + size, 0));
      const once = async (): Promise<Buffer[]> => {
        const sources = files.map(({ path }) => ({ source: path }));
        const found = await remote.fs.downloadFiles(sources, ms / 1000);
        return found.map(({ result, error }, at) => {
          if (!(result instanceof Uint8Array)) throw new Error(error ?? "it sent nothing");
          if (result.length !== files[at]?.size) throw new Error("the file broke off");
          return Buffer.from(result.buffer, result.byteOffset, result.byteLength);
        });
      };
      return (await attempt(once, { what, idempotent: true, deadlineMs: ms })) ?? [];
    },
  };
}

/** Not found, of a sandbox that is there, is about something in it. */
function explained(error: unknown, what: string): SandboxError {
  if (!tellsGone(toCallFailure(error))) return toSandboxError(error, what);
  const message = `Daytona could not ${what}: ${(error as Error).message}. Try again, or create a new sandbox.`;
  return new SandboxError("backend-error", message, { cause: error });
}

const asleep = new Set(["stopped", "stopping", "archived", "archiving", "paused", "pausing", "starting", "restoring"]);
const dead = new Set(["destroyed", "destroying"]);

/** Throws `sandbox-gone` when there is none any more, and what Daytona tells of one that failed. */
export async function stateOf(remote: DaytonaSandbox, client: DaytonaClient): Promise<"runs" | "sleeps"> {
  await client.call(() => remote.refreshData(), { what: `find the sandbox ${remote.id}`, idempotent: true });
  const { state = "unknown", errorReason } = remote;
  if (dead.has(state)) {
    throw new SandboxError("sandbox-gone", `The sandbox ${remote.id} is ${state}. Create a new one.`);
  }
  if (state === "error" || state === "build_failed") {
    const words = `The sandbox ${remote.id} is in the state ${state}: ${errorReason ?? "no reason is given"}.`;
    throw new SandboxError("backend-unavailable", `${words} Look at it in Daytona's dashboard, or create a new one.`);
  }
  return asleep.has(state) ? "sleeps" : "runs";
}

/** Starts a sandbox that sleeps, whatever it is doing at the moment. */
export async function wake(remote: DaytonaSandbox, client: DaytonaClient, startMs: number): Promise<void> {
  const what = `start the sandbox ${remote.id}`;
  const seconds = Math.ceil(startMs / 1000);
  const start = async (): Promise<void> => {
    await remote.refreshData();
    if (remote.state === "stopping") await remote.waitUntilStopped(seconds);
    if (remote.state === "started") return;
    if (remote.state === "starting" || remote.state === "restoring") await remote.waitUntilStarted(seconds);
    else await remote.start(seconds);
  };
  await client.call(start, { what, idempotent: true, deadlineMs: startMs + longestAnswerMs });
}
