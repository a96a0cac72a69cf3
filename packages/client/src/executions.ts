import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionStatus,
  type ExecutionPhase,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { type AgentChoice, nameAgent, type NamedAgent } from "./agent-choice.ts";
import { toApproval, type ApprovalAnswer } from "./approval-answer.ts";
import { call, type CallOptions } from "./call.ts";
import { listOf, type List, type PageInput } from "./pages.ts";
import { toPhase, type PhaseName } from "./phases.ts";
import { requireId } from "./require-id.ts";
import { createOnce, toPage, verbsOf, type Defaults, type ListInput } from "./resource-client.ts";
import { toResource, type ResourceInput } from "./resource-input.ts";
import { retryWhileAway } from "./retry-while-away.ts";
import { attachRun, startRun, type AttachOptions, type Run, type RunInput } from "./run.ts";
import { watchExecution, type WatchOptions } from "./watch/watch-execution.ts";
import type { ExecutionUpdate } from "./watch/followed-run.ts";
import { watchList, type ListUpdate, type WatchListOptions } from "./watch/watch-list.ts";
import type { SessionUpdate, WatchSessionOptions } from "./watch/session-run.ts";
import { watchSession } from "./watch/watch-session.ts";

export type ExecutionInput = ResourceInput<typeof AgentExecutionSchema>;

export interface ListExecutionsInput extends ListInput {
  readonly phase?: PhaseName | ExecutionPhase;
  readonly sessionId?: string;
  readonly agentId?: string;
}

/** Every method throws `ClientError` and refuses an empty id before it calls. */
export interface ExecutionClient {
  /**
   * Starts a run and follows it: `for await (const { text } of client.executions.run({ agent: "greeter", message: "Hi" }))`.
   * It is started once, however often its server goes away meanwhile. Leaving the loop does not stop the run: `cancel` does.
   */
  run(input: RunInput): Run;
  /** The same for a run that was started before, anywhere. */
  attach(id: string, options?: AttachOptions): Run;
  /**
   * Submits a run: `sessionId` joins a session, `agentId` alone opens a new one. Is repeated while the server is away, and
   * happens once.
   */
  create(execution: ExecutionInput, options?: CallOptions): Promise<AgentExecution>;
  /** Replaces metadata and spec of a run that has not started. Throws `failed-precondition` when it has. */
  update(execution: ExecutionInput, options?: CallOptions): Promise<AgentExecution>;
  get(id: string, options?: CallOptions): Promise<AgentExecution>;
  /** Throws `failed-precondition` for a run under way: cancel it first. */
  delete(id: string, options?: CallOptions): Promise<AgentExecution>;
  /** Newest first, without what was said in them. */
  list(input?: ListExecutionsInput, options?: CallOptions): List<AgentExecution>;
  /** Newest first, whole. */
  listBySession(sessionId: string, input?: PageInput, options?: CallOptions): List<AgentExecution>;
  /** Asks a run to stop. A run that waits is cancelled at once, one that runs when its runner has stopped it. */
  cancel(id: string, reason?: string, options?: CallOptions): Promise<AgentExecution>;
  /** Asks a run to come to rest where nothing is half done. Throws `failed-precondition` when it has ended. */
  pause(id: string, reason?: string, options?: CallOptions): Promise<AgentExecution>;
  /** Lets a paused run go on, also one that paused itself. Throws `failed-precondition` when it has ended. */
  resume(id: string, options?: CallOptions): Promise<AgentExecution>;
  /**
   * Says something to a run under way; the agent hears it before its next model call. Is repeated while the server is away,
   * and heard once: a message is known by its id. Throws `failed-precondition` when the run has ended.
   */
  sendMessage(id: string, text: string, options?: SendMessageOptions): Promise<AgentExecution>;
  /**
   * Decides a tool call that waits for a person; the run goes on. Is repeated while the server is away: the same decision again
   * changes nothing. Throws `not-found` when the run has no such call, `failed-precondition` when the call does not wait or
   * was decided otherwise.
   */
  resolveApproval(
    id: string,
    toolCallId: string,
    decision: ApprovalAnswer,
    options?: CallOptions,
  ): Promise<AgentExecution>;
  /** Follows a run to its end, over broken connections: see `watchExecution`. */
  watch(id: string, options?: WatchOptions): AsyncGenerator<ExecutionUpdate, void, undefined>;
  /** Follows all runs of a session, also those to come, until it is left: what a conversation's view needs. */
  watchSession(sessionId: string, options?: WatchSessionOptions): AsyncGenerator<SessionUpdate, void, undefined>;
  /** Follows the list of runs until it is left: what a dashboard needs. */
  watchList(
    input?: WatchListOptions & { readonly org?: string; readonly agent?: AgentChoice },
  ): AsyncGenerator<ListUpdate, void, undefined>;
  /** A runner's delta. Returns the new revision. Throws `failed-precondition` when the fence is not the present one. */
  patchStatus(input: { executionId: string; fence: number; sequence: number; delta: StatusDelta }): Promise<number>;
  /** A whole status, merged by the rules for older runners. */
  updateStatus(executionId: string, status: AgentExecutionStatus): Promise<AgentExecution>;
}

export interface SendMessageOptions extends CallOptions {
  /** What the message is known by within the run. Default: made here. */
  readonly messageId?: string;
}

export function createExecutionClient(transport: Transport, defaults: Defaults): ExecutionClient {
  const command = createConnectClient(AgentExecutionCommandController, transport);
  const query = createConnectClient(AgentExecutionQueryController, transport);
  const agents = createConnectClient(AgentQueryController, transport);
  const kind = { kind: "AgentExecution", schema: AgentExecutionSchema, noun: "execution" } as const;
  const execution = verbsOf(kind, defaults);

  const agentOf = (agent: AgentChoice, org: string = defaults.org): NamedAgent => nameAgent(agent, { org });

  async function findAgentId({ agentId, agentRef }: NamedAgent, options: CallOptions): Promise<string> {
    if (agentRef === undefined) return agentId;
    return call(`agent "${agentRef.slug}"`, async () => {
      const found = await agents.getByReference(agentRef, options);
      return found.metadata?.id ?? "";
    });
  }

  /** Each call goes through even when its caller gives up, so that it is known what came of it; only waiting ends. */
  function createRun(input: ExecutionInput, signal: AbortSignal | undefined): Promise<AgentExecution> {
    const given = toResource(kind, input);
    const send = (execution: AgentExecution): Promise<AgentExecution> => command.create(execution);
    const get = (request: { value: string }): Promise<AgentExecution> => query.get(request);
    return call(`execution ${given.metadata?.id}`, () =>
      createOnce(given, { id: given.metadata?.id ?? "", send, get, options: { signal } }),
    );
  }

  const executions: ExecutionClient = {
    run: (input) => startRun({ executions, createOnce: createRun, agentOf, findAgentId }, input),
    attach: (id, options) => attachRun(executions, id, options),
    create: execution.create(command.create, query.get),
    update: execution.write(command.update),
    get: execution.byId((value, options) => query.get({ value }, options)),
    delete: execution.byId((value, options) => command.delete({ value }, options)),
    list: ({ phase, sessionId, agentId, ...input } = {}, options) =>
      execution.list((request, options) =>
        query.list(
          { ...request, phase: phase === undefined ? undefined : toPhase(phase), sessionId, agentId },
          options,
        ),
      )(input, options),
    listBySession: (sessionId, { pageSize = 0, pageToken } = {}, options) =>
      listOf(pageToken, (pageToken) =>
        call(`executions of session ${sessionId}`, async () => {
          const request = { sessionId: requireId("session_id", sessionId), pageSize, pageToken };
          return toPage(await query.listBySession(request, options));
        }),
      ),
    cancel: (id, reason = "", options) =>
      execution.byId((executionId) => command.cancel({ executionId, reason }, options))(id),
    pause: (id, reason = "", options) =>
      execution.byId((executionId) => command.pause({ executionId, reason }, options))(id),
    resume: execution.byId((executionId, options) => command.resume({ executionId }, options)),
    sendMessage: (id, text, { messageId = newMessageId(), ...options } = {}) =>
      call(`message to execution ${id}`, async () => {
        const executionId = requireId("execution_id", id);
        return retryWhileAway(() => command.sendMessage({ executionId, messageId, text }, options), options.signal);
      }),
    resolveApproval: (id, toolCallId, answer, options) =>
      call(`approval in execution ${id}`, async () => {
        const executionId = requireId("execution_id", id);
        const request = { executionId, toolCallId, ...toApproval(answer) };
        return retryWhileAway(() => command.resolveApproval(request, options), options?.signal);
      }),
    async *watch(id, options) {
      yield* watchExecution(query, requireId("execution_id", id), options);
    },
    async *watchSession(id, options) {
      yield* watchSession(query, requireId("session_id", id), options);
    },
    async *watchList({ org = defaults.ownOrg, agent, ...options } = {}) {
      const agentId = agent === undefined ? "" : await findAgentId(agentOf(agent, org), { signal: options.signal });
      yield* watchList(query, { org, agentId }, options);
    },
    patchStatus: ({ executionId, fence, sequence, delta }) =>
      call(`status of execution ${executionId}`, async () => {
        const request = { executionId: requireId("execution_id", executionId), fence, sequence, delta };
        return (await command.patchStatus(request)).revision;
      }),
    updateStatus: (executionId, status) =>
      call(`status of execution ${executionId}`, async () =>
        command.updateStatus({ executionId: requireId("execution_id", executionId), status }),
      ),
  };
  return executions;
}

/** Unlike `randomUUID`, also there in pages that came without TLS. */
function newMessageId(): string {
  return crypto
    .getRandomValues(new Uint32Array(4))
    .reduce((id, word) => id + word.toString(16).padStart(8, "0"), "msg-");
}
