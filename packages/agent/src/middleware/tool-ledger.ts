import { ToolMessage } from "@langchain/core/messages";
import type { StructuredTool } from "@langchain/core/tools";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { AgentError } from "../errors.ts";
import { callKeyOf } from "../ledger/call-key.ts";
import { fitsSchema } from "../ledger/fits-schema.ts";
import { createResultForm, type ToolResult } from "../ledger/recorded-result.ts";
import type { ToolCallLedger } from "../ledger/tool-call-ledger.ts";
import { classOf } from "../ledger/tool-classes.ts";
import { askAboutLostCall, unknownOutcome } from "../ledger/unknown-outcome.ts";

export interface ToolLedgerOptions {
  readonly ledger: ToolCallLedger;
  /** How results are written down. */
  readonly serde: SerializerProtocol;
  /** Brings the run to rest because of a call whose outcome is unknown; left out when the model alone is told. */
  readonly requestPause?: (runtime: ToolRuntime, message: string) => void;
}

/** What LangChain gives a middleware as a call's `runtime`, as far as it concerns us. */
export interface ToolRuntime {
  readonly signal?: AbortSignal;
  readonly configurable?: Readonly<Record<string, unknown>>;
}

export interface ToolLedgerMiddleware {
  /** One for each agent of the tree: it stands right around `toolErrors`, so that a failure is recorded as the model reads it. */
  middleware(): AgentMiddleware;
  /** Resolves when what aborted runs had still to write down is written. */
  settle(): Promise<void>;
}

/** Milliseconds for which a result is still written down after its run was stopped: what has happened is worth knowing. */
const graceMs = 5_000;

/** Bytes of a result that every ledger takes. */
const largestResult = 32 * 1024 * 1024;

/**
 * Writes down each call before its tool is run, and what came of it after. A call that ended in an earlier life of the run
 * gives its recorded result; one that was begun there and must not be made twice tells the model that nobody knows.
 */
export function createToolLedger({ ledger, serde, requestPause }: ToolLedgerOptions): ToolLedgerMiddleware {
  const form = createResultForm(serde);
  const finishing = new Set<Promise<void>>();

  const record = async ({ id, name, callKey, runtime }: Call, result: ToolResult): Promise<ToolResult> => {
    let kept = result;
    let bytes = await form.write(kept);
    if (bytes.byteLength > largestResult) {
      const content = tooLarge(name, bytes.byteLength);
      kept = new ToolMessage({ content, tool_call_id: id, name, status: "error" });
      bytes = await form.write(kept);
    }
    const grace = afterGrace(runtime.signal);
    const written = ledger.finish(callKey, bytes, grace.signal).finally(() => {
      grace.end();
      finishing.delete(written);
    });
    finishing.add(written);
    await written;
    return kept;
  };

  const middleware = (): AgentMiddleware =>
    createMiddleware({
      name: "toolLedger",
      wrapToolCall: async (request, handler) => {
        const { id = "", name, args } = request.toolCall;
        const runtime = request.runtime as ToolRuntime;
        const tool = request.tool as StructuredTool | undefined;
        // A tool that doesn't exist and arguments that don't fit have no effect: LangChain answers by itself.
        const toolClass = tool === undefined ? "graph" : classOf(tool);
        if (tool === undefined || toolClass === "graph" || !(await fitsSchema(tool, args))) return handler(request);

        const checkpointNs = String(runtime.configurable?.["checkpoint_ns"] ?? "");
        const callKey = callKeyOf({ messages: request.state.messages, id, checkpointNs });
        const start = await ledger
          .begin({ callKey, toolName: name, toolClass }, runtime.signal)
          .catch(fail(runtime, `${name} was not run: its call can't be written to the tool-call ledger`));
        if (start.kind === "recorded") {
          return form
            .read(start.result)
            .catch(fail(runtime, `The result of ${name} can't be read from the tool-call ledger`));
        }
        if (start.kind === "outcome-unknown") {
          const lost = { id, name, args, begunAt: start.begunAt };
          requestPause?.(runtime, askAboutLostCall(lost));
          return unknownOutcome(lost);
        }
        // What ends the run (an abort, an interrupt) leaves the intent open: nobody knows how far the tool came.
        const result = (await handler(request)) as ToolResult;
        return record({ id, name, callKey, runtime }, result).catch(
          fail(runtime, `${name} was run, but its result can't be written to the tool-call ledger`),
        );
      },
    });

  return {
    middleware,
    async settle() {
      await Promise.allSettled(finishing);
    },
  };
}

interface Call {
  readonly id: string;
  readonly name: string;
  readonly callKey: string;
  readonly runtime: ToolRuntime;
}

/** Ends the run: no tool is run, and no result given, that the ledger doesn't know. */
function fail({ signal }: ToolRuntime, what: string): (cause: unknown) => never {
  return (cause) => {
    if (signal?.aborted === true) throw signal.reason;
    if (AgentError.is(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `${what}: ${reason}. Check that the ledger can be reached, then run the execution again.`;
    throw new AgentError("checkpoint", message, { cause });
  };
}

function tooLarge(name: string, bytes: number): string {
  const megabytes = (count: number): number => Math.ceil(count / 1024 / 1024);
  return (
    `${name} was run, but its result is left out: ${megabytes(bytes)} MB are more than the ` +
    `${megabytes(largestResult)} MB that can be kept. Ask for less at once.`
  );
}

/** Aborted some time after `signal`: a run that is stopped waits for the ledger, but not for ever. */
function afterGrace(signal: AbortSignal | undefined): { readonly signal?: AbortSignal; end(): void } {
  if (signal === undefined) return { end: () => {} };
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const start = (): void => {
    timer = setTimeout(() => late.abort(signal.reason), graceMs);
  };
  signal.addEventListener("abort", start, { once: true });
  if (signal.aborted) start();
  return {
    signal: late.signal,
    end() {
      signal.removeEventListener("abort", start);
      clearTimeout(timer);
    },
  };
}
