import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { EndedLease } from "@stigmer/engine";
import { AgentExecutionCommandController, ExecutionPhase, type StatusDelta } from "@stigmer/protos/agentexecution/v1";
import {
  RunAnswerSchema,
  RunnerController,
  type RunEntry,
  ToolCallAnswerSchema,
  type ToolCallEntry,
} from "@stigmer/protos/runner/v1";
import { SessionCommandController } from "@stigmer/protos/session/v1";
import type { Closing } from "../executions/closing.ts";
import type { RunStatuses } from "../executions/run-statuses.ts";
import { traceCall } from "../interceptors/trace-calls.ts";
import { answerEntries } from "./answer-entries.ts";
import type { RememberSandbox } from "./remember-sandbox.ts";
import type { ToolCalls } from "./tool-calls.ts";

/** What stands around the work on each entry, as interceptors stand around a call. `method`: that of the call that it stands for. */
export type EntryObserver = <T>(method: string, work: () => Promise<T>) => Promise<T>;

export interface RunEntriesOptions {
  readonly toolCalls: ToolCalls;
  readonly runs: Pick<RunStatuses, "patch" | "patchToEnd">;
  readonly rememberSandbox: RememberSandbox;
  /** Told of each lease that ended with its run, and how that ended. Undefined: none does. */
  readonly onLeaseEnded?: ((lease: EndedLease, phase: ExecutionPhase) => void) | undefined;
  /** Ends the streams, which stay open. */
  readonly closing: Closing;
  /** Default: nothing. */
  readonly observe?: EntryObserver | undefined;
}

export type RunStreams = Pick<ServiceImpl<typeof RunnerController>, "recordRun" | "recordToolCalls">;

type ToolCall = ToolCallEntry["entry"];
type ToolCallAnswer = Exclude<MessageInitShape<typeof ToolCallAnswerSchema>["answer"], { case: "refused" } | undefined>;
type Answer = Exclude<MessageInitShape<typeof RunAnswerSchema>["answer"], undefined>;

const METHODS = {
  begin: `${RunnerController.typeName}/beginToolCall`,
  finish: `${RunnerController.typeName}/finishToolCall`,
  patch: `${AgentExecutionCommandController.typeName}/patchStatus`,
  remember: `${SessionCommandController.typeName}/update`,
} as const;

/** The streams over which a runner says what those calls say, for a fraction of what a call costs both sides. */
export function createRunStreams(options: RunEntriesOptions): RunStreams {
  const { toolCalls, runs, rememberSandbox, onLeaseEnded, closing, observe = unobserved } = options;

  async function onToolCall(entry: ToolCall): Promise<ToolCallAnswer> {
    switch (entry.case) {
      case "begin":
        return { case: "begun", value: await toolCalls.beginToolCall(entry.value) };
      case "finish":
        return { case: "finished", value: await toolCalls.finishToolCall(entry.value) };
      case undefined:
        throw new ConnectError("entry: value is required", Code.InvalidArgument);
    }
  }

  async function onEntry({ entry, endsLeaseOf: runnerId }: RunEntry, context: HandlerContext): Promise<Answer> {
    if (entry.case === "remember") {
      return { case: "remembered", value: { sandboxId: await rememberSandbox(entry.value, context) } };
    }
    if (entry.case !== "patch") return onToolCall(entry);
    const { executionId, fence, sequence, delta } = entry.value;
    // The contract's rules have been looked at: there is one.
    if (!delta) throw new ConnectError("delta: value is required", Code.InvalidArgument);
    const patch = { executionId, fence, sequence, delta };
    if (runnerId === "" || !onLeaseEnded) return { case: "patched", value: { revision: await runs.patch(patch) } };
    const { revision, leaseEnded } = await runs.patchToEnd(patch, runnerId);
    if (!leaseEnded) return { case: "patched", value: { revision } };
    onLeaseEnded({ executionId, fence, runnerId }, phaseIn(delta));
    return { case: "ended", value: { revision } };
  }

  /** Under the name of the call that the entry stands for. */
  function worked<A extends { readonly case: string | undefined }>(
    { case: kind }: RunEntry["entry"],
    traceparent: string,
    work: () => Promise<A>,
  ): Promise<A | Refused> {
    if (kind === undefined) return orRefused(work);
    const method = METHODS[kind];
    return orRefused(() => traceCall(method, traceparent || undefined, () => observe(method, work)));
  }

  return {
    recordRun: (entries, context) => {
      const answer = async (given: RunEntry) => {
        const { number, entry, traceparent } = given;
        return create(RunAnswerSchema, {
          number,
          answer: await worked(entry, traceparent, () => onEntry(given, context)),
        });
      };
      return answerEntries(entries, { answer, signal: context.signal, closing });
    },
    recordToolCalls: (entries, { signal }) => {
      const answer = async ({ number, entry }: ToolCallEntry) =>
        create(ToolCallAnswerSchema, { number, answer: await worked(entry, "", () => onToolCall(entry)) });
      return answerEntries(entries, { answer, signal, closing });
    },
  };
}

function phaseIn({ changes }: StatusDelta): ExecutionPhase {
  const last = changes.findLast(({ change }) => change.case === "run")?.change;
  return last?.case === "run" ? last.value.phase : ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
}

interface Refused {
  readonly case: "refused";
  readonly value: { readonly code: number; readonly message: string };
}

/** What a call would have been refused with is an answer; all else ends the stream. */
async function orRefused<A>(work: () => Promise<A>): Promise<A | Refused> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    return { case: "refused", value: { code: error.code, message: error.rawMessage } };
  }
}

const unobserved: EntryObserver = (_method, work) => work();
