import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import {
  RunnerController,
  type BeginToolCallResponse,
  type HelloResponse,
  type ResolveRunResponse,
  type ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { requireId } from "./require-id.ts";
import { call } from "./call.ts";
import { createEntryStreams } from "./entry-stream.ts";
import type { ExecutionClient } from "./executions.ts";
import { noteAbsence } from "./note-absence.ts";
import { retryWhileAway } from "./retry-while-away.ts";
import { DEFAULT_TIMEOUT_MS } from "./unary-deadline.ts";
import { fenceHeaders, type Fence } from "./with-fence.ts";

export interface HelloInput {
  /** Names the runner process, the same in all its calls and new with each start. */
  readonly runnerId: string;
  /** For people. */
  readonly version: string;
  /** The protocol that this runner speaks. */
  readonly protocol: number;
}

export interface BeginToolCallInput extends Fence {
  /** Names the call within the run, the same after every takeover. */
  readonly callKey: string;
  readonly toolName: string;
  readonly toolClass: ToolCallClass;
  /** New with each intent, the same when a request is repeated because its answer was lost. */
  readonly requestId: string;
}

export interface FinishToolCallInput extends Fence {
  readonly callKey: string;
  /** What the agent gets, in the runner's own form. At most 32 MiB. */
  readonly result: Uint8Array;
  /** As the call was begun with. The result of a repeatable one may be taken by a power cut. Default: it may not. */
  readonly toolClass?: ToolCallClass | undefined;
}

export interface RememberSandboxInput extends Fence {
  /** The sandbox of the run's session. */
  readonly sandboxId: string;
  /** The one that the session had when it was looked at. Empty: none. */
  readonly previousSandboxId: string;
  /** Whether the sandbox is found again without its id: then a power cut may take what is answered here. Default false. */
  readonly foundWithout?: boolean | undefined;
}

/**
 * A runner's calls, besides those by which it takes work. Every method throws `ClientError` (`unimplemented` on a server of
 * before) and refuses an empty id before it calls. None is repeated by itself.
 */
export interface RunnerClient {
  /** Introduces the runner; what comes back says whether the two fit. */
  hello(input: HelloInput, signal?: AbortSignal): Promise<HelloResponse>;
  /** Writes an intent into the ledger of a run. Throws `failed-precondition` when the fence is not the present one. */
  beginToolCall(input: BeginToolCallInput, signal?: AbortSignal): Promise<BeginToolCallResponse["outcome"]>;
  /** Writes the result of a call that was begun. Throws `failed-precondition` when the fence is not the present one. */
  finishToolCall(input: FinishToolCallInput, signal?: AbortSignal): Promise<void>;
  /** Both for one run, and its status, over a stream where the server has one. */
  recordRun(): RunRecord;
  /** The conversation thread of a session that has a run in work, made on first use. Throws `not-found` for any other. */
  ensureThread(sessionId: string, signal?: AbortSignal): Promise<string>;
  /**
   * What a run is made from, for who holds it: the run, its session with its thread, instance, agent and own variables. Is repeated
   * while the server is away. Undefined: the server knows no such call, and each part is to be asked for by itself.
   */
  resolveRun(fence: Fence, signal?: AbortSignal): Promise<ResolveRunResponse | undefined>;
}

export interface PatchedToEnd {
  readonly revision: number;
  readonly leaseEnded: boolean;
}

type StatusPatchInput = Parameters<ExecutionClient["patchStatus"]>[0];

/** What a runner tells of one run, and of its session, while it works on it. */
export interface RunRecord
  extends Disposable, Pick<RunnerClient, "beginToolCall" | "finishToolCall">, Pick<ExecutionClient, "patchStatus"> {
  /**
   * `patchStatus` of the change that ends the run: where the server can, this runner's lease of it ends in the same step. Tells
   * whether the server has said so; if not, the lease is to be completed by itself, which changes nothing where it has ended.
   */
  patchToEnd(input: StatusPatchInput, runnerId: string): Promise<PatchedToEnd>;
  /**
   * Stores the sandbox of the run's session, unless the session has another by now than the previous one. Answers the one that it has
   * then. Undefined: the server knows no such entry, or has not answered it, and the session is to be updated. Throws
   * `failed-precondition` when the fence is not the present one.
   */
  rememberSandbox(input: RememberSandboxInput): Promise<string | undefined>;
  /** Ends its stream, when what is under way has been answered. What comes later is a call of its own. */
  close(): void;
}

export interface RunnerClientOptions {
  /** Milliseconds until a call, or an entry of a stream, is given up. Default 30,000. */
  readonly timeoutMs?: number | undefined;
}

export function createRunnerClient(transport: Transport, options: RunnerClientOptions = {}): RunnerClient {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const runner = createConnectClient(RunnerController, transport);
  const executions = createConnectClient(AgentExecutionCommandController, transport);
  const begin = async (request: BeginToolCallInput, signal?: AbortSignal): Promise<BeginToolCallResponse["outcome"]> =>
    (await runner.beginToolCall(request, { signal })).outcome;
  const finish = async (request: FinishToolCallInput, signal?: AbortSignal): Promise<void> =>
    void (await runner.finishToolCall(request, { signal }));
  const streams = createEntryStreams({ controller: runner, timeoutMs });
  const resolving = noteAbsence();
  return {
    hello: (input, signal) =>
      call(`runner ${input.runnerId}`, () =>
        runner.hello({ ...input, runnerId: requireId("runner_id", input.runnerId) }, { signal }),
      ),
    beginToolCall: (input, signal) => call(describeCall(input), () => begin(checked(input), signal)),
    finishToolCall: (input, signal) => call(describeCall(input), () => finish(checked(input), signal)),
    recordRun() {
      const stream = streams.open();
      const close = (): void => stream.close();
      const patch = (input: StatusPatchInput, endsLeaseOf?: string): Promise<PatchedToEnd> =>
        call(`status of execution ${input.executionId}`, async () => {
          const answer = await stream.send({ case: "patch", value: checked(input), endsLeaseOf });
          if (answer?.case === "ended") return { revision: answer.value.revision, leaseEnded: true };
          const { revision } = answer?.case === "patched" ? answer.value : await executions.patchStatus(input);
          return { revision, leaseEnded: false };
        });
      return {
        beginToolCall: (input, signal) =>
          call(describeCall(input), async () => {
            const answer = await stream.send({ case: "begin", value: checked(input) }, signal);
            return answer?.case === "begun" ? answer.value.outcome : begin(input, signal);
          }),
        finishToolCall: (input, signal) =>
          call(describeCall(input), async () => {
            const answer = await stream.send({ case: "finish", value: checked(input) }, signal);
            if (answer?.case !== "finished") await finish(input, signal);
          }),
        rememberSandbox: (input) =>
          call(`sandbox of the session of execution ${input.executionId}`, async () => {
            const answer = await stream.send({ case: "remember", value: checked(input) });
            return answer?.case === "remembered" ? answer.value.sandboxId : undefined;
          }),
        patchStatus: async (input) => (await patch(input)).revision,
        patchToEnd: (input, runnerId) => patch(input, runnerId),
        close,
        [Symbol.dispose]: close,
      };
    },
    ensureThread: (sessionId, signal) =>
      call(`session ${sessionId}`, async () => {
        const request = { sessionId: requireId("session_id", sessionId) };
        return (await runner.ensureThread(request, { signal })).threadId;
      }),
    resolveRun: (fence, signal) =>
      call(`execution ${fence.executionId}`, async () => {
        const { executionId } = checked(fence);
        const headers = fenceHeaders(fence);
        return resolving.unlessAbsent(() =>
          retryWhileAway(() => runner.resolveRun({ executionId }, { signal, headers }), signal),
        );
      }),
  };
}

function checked<Input extends Fence>(input: Input): Input {
  return { ...input, executionId: requireId("execution_id", input.executionId) };
}

function describeCall({ executionId, callKey }: { executionId: string; callKey: string }): string {
  return `tool call ${callKey} of execution ${executionId}`;
}
