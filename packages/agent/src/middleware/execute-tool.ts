import { ToolMessage } from "@langchain/core/messages";
import { type StructuredTool, tool, type ToolRuntime } from "@langchain/core/tools";
import type { ExecuteResult, Sandbox } from "@stigmer/sandbox";
import { formatExecuteResult } from "@stigmer/sandbox/deepagents";
import { z } from "zod";
import { oncePer } from "../once-per.ts";
import { createLiveOutput, type LiveOutput } from "./live-output.ts";

export interface ExecuteToolOptions {
  /** Milliseconds that a command may take when the model names no limit. */
  readonly timeoutMs: number;
}

export interface ExecuteTool {
  readonly tool: StructuredTool;
  /** Resolves when every command whose run was aborted is gone. */
  settleAborted(): Promise<void>;
}

/** Kept of stdout and of stderr, each: deepagents puts long results aside in a file, where the model can page through. */
const maxOutputBytes = 1024 * 1024;
/** Between two pieces of live output: quick to a reader, and few events for a chatty command. */
const liveIntervalMs = 50;
const longestTimeoutSeconds = 24 * 60 * 60;

const description = `Runs a shell command in the working directory and returns its output and exit code.

- Quote paths that contain spaces. Chain commands with '&&' or ';'.
- Prefer the tools grep, glob and read_file over the commands grep, find and cat.
- A command that takes longer than its limit is ended, with everything it started: give timeout_seconds to a slow one.
- To start a server, run it in the background with its output in a file: 'cmd > out.log 2>&1 &'.`;

const schemaFor = oncePer((timeoutMs: number) =>
  z.object({
    command: z.string().min(1).describe("The shell command to run"),
    timeout_seconds: z
      .number()
      .positive()
      .max(longestTimeoutSeconds)
      .optional()
      .describe(`Seconds the command may take. Default: ${timeoutMs / 1000}`),
  }),
);

/**
 * Replaces deepagents' tool of the same name, whose backend protocol carries no abort signal, no time-out and no output
 * while the command runs.
 */
export function createExecuteTool(sandbox: Sandbox, { timeoutMs }: ExecuteToolOptions): ExecuteTool {
  const running = new Map<Promise<unknown>, AbortSignal>();

  const run = (command: string, limitMs: number, live: LiveOutput, signal: AbortSignal | undefined) => {
    const result = sandbox.execute(command, {
      timeoutMs: limitMs,
      maxOutputBytes,
      signal,
      onStdout: (text) => live.add("stdout", text),
      onStderr: (text) => live.add("stderr", text),
    });
    if (signal !== undefined) running.set(result, signal);
    const ended = result.finally(() => {
      running.delete(result);
      live.end();
    });
    // A failure is for who awaits it below, who may still be busy with the output.
    void Promise.allSettled([ended]);
    return ended;
  };

  const execute = tool(
    // What a generator tool yields becomes `on_tool_event`, with the id of its call.
    async function* ({ command, timeout_seconds: seconds }, runtime: ToolRuntime) {
      const live = createLiveOutput({ intervalMs: liveIntervalMs });
      const result = run(command, seconds === undefined ? timeoutMs : seconds * 1000, live, runtime.signal);
      yield* live.pieces();
      const { exitCode, durationMs, truncated, reason } = await result;
      runtime.signal?.throwIfAborted();
      return new ToolMessage({
        content: describeResult(await result),
        artifact: { exitCode, durationMs, truncated, reason },
        tool_call_id: runtime.toolCallId ?? "",
        name: "execute",
        status: "success",
      });
    },
    {
      name: "execute",
      description,
      schema: schemaFor(timeoutMs),
    },
  );

  const wrapped = execute as unknown as StructuredTool;
  const invoke = wrapped.invoke.bind(wrapped);
  wrapped.invoke = (input, config) =>
    underOwnSignal(config?.signal, (signal) =>
      invoke(input, signal === undefined ? config : Object.assign({}, config, { signal })),
    );

  return {
    tool: wrapped,
    async settleAborted() {
      await Promise.allSettled([...running].flatMap(([result, signal]) => (signal.aborted ? [result] : [])));
    },
  };
}

/**
 * LangChain leaves its listener on the signal of a tool that is a generator. Node keeps a signal that `AbortSignal.any` made for as
 * long as anybody listens to it, and with it, here, the whole agent of a run that has ended. Nobody keeps a signal of the call's own.
 */
async function underOwnSignal<T>(
  signal: AbortSignal | undefined,
  work: (own: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  if (signal === undefined) return work(undefined);
  const own = new AbortController();
  const abort = (): void => own.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await work(own.signal);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function describeResult(result: ExecuteResult): string {
  const note = result.truncated ? "\n\n[The output was long: its middle is left out.]" : "";
  const text = formatExecuteResult(result);
  // A result that says nothing about success leaves the model guessing.
  return (result.exitCode === 0 ? `${text.trimEnd()}\n\nExit code: 0` : text) + note;
}
