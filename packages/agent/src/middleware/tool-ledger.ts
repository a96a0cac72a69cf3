import { setImmediate as nextTurn } from "node:timers/promises";
import { AIMessage, ToolMessage } from "@langchain/core/messages";
import type { StructuredTool } from "@langchain/core/tools";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { AgentError } from "../errors.ts";
import { callKeyOf } from "../ledger/call-key.ts";
import { fitsSchema } from "../ledger/fits-schema.ts";
import { createResultForm, type ToolResult } from "../ledger/recorded-result.ts";
import type { RunWrites } from "../ledger/run-writes.ts";
import type { ToolCallIntent, ToolCallLedger, ToolCallStart } from "../ledger/tool-call-ledger.ts";
import { classOf } from "../ledger/tool-classes.ts";
import { placeOf } from "../sub-agents/background-place.ts";
import { askAboutLostCall, unknownOutcome } from "../ledger/unknown-outcome.ts";

export interface ToolLedgerOptions {
  readonly ledger: ToolCallLedger;
  /** How results are written down. */
  readonly serde: SerializerProtocol;
  /** Brings the run to rest because of a call whose outcome is unknown; left out when the model alone is told. */
  readonly requestPause?: (runtime: ToolRuntime, message: string) => void;
  /** Of the run that makes the call: a result is written beside it. Without it the run waits for each. */
  readonly writesOf?: (runtime: ToolRuntime) => RunWrites | undefined;
}

/** What LangChain gives a middleware as a call's `runtime`, as far as it concerns us. */
export interface ToolRuntime {
  readonly signal?: AbortSignal;
  readonly configurable?: Readonly<Record<string, unknown>>;
}

/** Milliseconds for which a result is still written down after its run was stopped: what has happened is worth knowing. */
const graceMs = 5_000;

/** Bytes of a result that every ledger takes. */
const largestResult = 32 * 1024 * 1024;

/**
 * Writes down each call before its tool is run, and what came of it after. A call that ended in an earlier life of the run
 * gives its recorded result; one that was begun there and must not be made twice tells the model that nobody knows.
 * One for each agent of the tree: it stands right around `toolErrors`, so that a failure is recorded as the model reads it.
 */
export function createToolLedger({ ledger, serde, requestPause, writesOf }: ToolLedgerOptions): () => AgentMiddleware {
  const form = createResultForm(serde);
  const early = createEarlyIntents(ledger, writesOf);

  /** Gives the result back as it is kept. The model may read it while it is written: the next call waits for that. */
  const record = async ({ id, name, callKey, runtime }: Call, result: ToolResult): Promise<ToolResult> => {
    const lost = fail(runtime, `${name} was run, but its result can't be written to the tool-call ledger`);
    let kept = result;
    let bytes = await form.write(kept).catch(lost);
    if (bytes.byteLength > largestResult) {
      const content = tooLarge(name, bytes.byteLength);
      kept = new ToolMessage({ content, tool_call_id: id, name, status: "error" });
      bytes = await form.write(kept).catch(lost);
    }
    const grace = afterGrace(runtime.signal);
    const written = ledger.finish(callKey, bytes, grace.signal).catch(lost).finally(grace.end);
    const writes = writesOf?.(runtime);
    if (writes === undefined) {
      await written;
    } else {
      writes.follow(written);
      // Else it would leave this process only when all is done that comes before the next wait: up to the next model call.
      await nextTurn();
    }
    return kept;
  };

  return () =>
    createMiddleware({
      name: "toolLedger",
      wrapModelCall: async (request, handler) => {
        const answer = await handler(request);
        if (AIMessage.isInstance(answer)) await early.begin(answer, request.tools, request.runtime as ToolRuntime);
        return answer;
      },
      wrapToolCall: async (request, handler) => {
        const { id = "", name, args } = request.toolCall;
        const runtime = request.runtime as ToolRuntime;
        const tool = request.tool as StructuredTool | undefined;
        // A tool that doesn't exist and arguments that don't fit have no effect: LangChain answers by itself.
        const toolClass = tool === undefined ? "graph" : classOf(tool);
        if (tool === undefined || toolClass === "graph" || !(await fitsSchema(tool, args))) return handler(request);

        const checkpointNs = placeOf(runtime.configurable);
        const callKey = callKeyOf({ messages: request.state.messages, id, checkpointNs });
        const writes = writesOf?.(runtime);
        // What came before is written down before there is something new to write.
        await writes?.written();
        runtime.signal?.throwIfAborted();
        const intent = { callKey, toolName: name, toolClass };
        const [start] = await Promise.all([
          (early.take(callKey) ?? ledger.begin(intent, runtime.signal)).catch(
            fail(runtime, `${name} was not run: its call can't be written to the tool-call ledger`),
          ),
          // No effect without the message that asks for it: after a power cut it would be asked for again, by another name.
          writes?.settled(),
        ]);
        if (start.kind === "recorded") {
          return form
            .read(start.result)
            .catch(fail(runtime, `The result of ${name} can't be read from the tool-call ledger`));
        }
        if (start.kind === "outcome-unknown") {
          const lost = { id, name, args, begunAt: start.begunAt };
          if (requestPause === undefined) return unknownOutcome(lost);
          const question = askAboutLostCall(lost);
          requestPause(runtime, question);
          return unknownOutcome(lost, question);
        }
        // What ends the run (an abort, an interrupt) leaves the intent open: nobody knows how far the tool came.
        const result = (await handler(request)) as ToolResult;
        return record({ id, name, callKey, runtime }, result);
      },
    });
}

interface EarlyIntents {
  /**
   * Begins what the model asks for, as far as it can be begun without knowing whether it will be. Resolves when that is on its way,
   * not when it is written down.
   */
  begin(answer: AIMessage, tools: readonly unknown[], runtime: ToolRuntime): Promise<void>;
  /** What came of it, once. */
  take(callKey: string): Promise<ToolCallStart> | undefined;
}

/**
 * Repeatable calls are written down while the graph is on its way from the model to its tools, and not after. An intent whose
 * call then never comes, because the run was stopped or a person refused it, asks for nothing: such a call is simply made when
 * it is asked for again. Of other calls nobody would know any more whether they were made: they are begun where they are made.
 */
function createEarlyIntents(ledger: ToolCallLedger, writesOf: ToolLedgerOptions["writesOf"]): EarlyIntents {
  const begun = new Map<string, Promise<ToolCallStart>>();
  const begin = async (intent: ToolCallIntent, runtime: ToolRuntime): Promise<ToolCallStart> => {
    const writes = writesOf?.(runtime);
    if (writes?.isBehind === true) await writes.written();
    runtime.signal?.throwIfAborted();
    return ledger.begin(intent, runtime.signal);
  };
  return {
    async begin(answer, tools, runtime) {
      const calls = answer.tool_calls ?? [];
      const checkpointNs = placeOf(runtime.configurable);
      for (const { id = "", name, args } of calls) {
        const tool = tools.find((each) => (each as { name?: unknown }).name === name) as StructuredTool | undefined;
        // Without an id of its own a message gets one in the graph's state, and twins are told apart by their tasks.
        const isNamed = answer.id !== undefined && calls.filter((call) => call.id === id).length === 1;
        if (tool === undefined || !isNamed || classOf(tool) !== "repeatable") continue;
        if (!(await fitsSchema(tool, args))) continue;
        const callKey = callKeyOf({ messages: [answer], id, checkpointNs });
        const start = begin({ callKey, toolName: name, toolClass: "repeatable" }, runtime);
        start.catch(() => {});
        begun.set(callKey, start);
      }
      if (begun.size > 0) await nextTurn();
    },
    take(callKey) {
      const start = begun.get(callKey);
      begun.delete(callKey);
      return start;
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
