import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import {
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  type AgentExecution,
  type AgentExecutionStatus,
  type ExecutionPhase,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { requireId } from "./require-id.ts";
import { call, describe, type Page } from "./resource-client.ts";
import { watchExecution, type ExecutionUpdate, type WatchOptions } from "./watch-execution.ts";

/** Every method throws `ClientError` and refuses an empty id before it calls. */
export interface ExecutionClient {
  /** Submits a run: `spec.session_id` joins a session, `spec.agent_id` alone opens a new one. */
  create(execution: AgentExecution): Promise<AgentExecution>;
  get(id: string): Promise<AgentExecution>;
  delete(id: string): Promise<AgentExecution>;
  list(input?: {
    phase?: ExecutionPhase;
    tags?: readonly string[];
    pageSize?: number;
    pageToken?: string;
  }): Promise<Page<AgentExecution>>;
  listBySession(sessionId: string, input?: { pageSize?: number; pageToken?: string }): Promise<Page<AgentExecution>>;
  /** Asks a run to stop. A run that waits is cancelled at once, one that runs when its runner has stopped it. */
  cancel(id: string, reason?: string): Promise<AgentExecution>;
  /** Asks a run to come to rest where nothing is half done. Throws `failed-precondition` when it has ended. */
  pause(id: string, reason?: string): Promise<AgentExecution>;
  /** Lets a paused run go on, also one that paused itself. Throws `failed-precondition` when it has ended. */
  resume(id: string): Promise<AgentExecution>;
  /**
   * Says something to a run under way; the agent hears it before its next model call. A call repeated with the same
   * `messageId` is heard once; without one the server makes a new id each time. Throws `failed-precondition` when the run has ended.
   */
  sendMessage(id: string, text: string, options?: { messageId?: string }): Promise<AgentExecution>;
  /** Follows a run to its end, over broken connections: see `watchExecution`. */
  watch(id: string, options?: WatchOptions): AsyncGenerator<ExecutionUpdate, void, undefined>;
  /** A runner's delta. Returns the new revision. Throws `failed-precondition` when the fence is not the present one. */
  patchStatus(input: { executionId: string; fence: number; sequence: number; delta: StatusDelta }): Promise<number>;
  /** A whole status, merged by the rules for older runners. */
  updateStatus(executionId: string, status: AgentExecutionStatus): Promise<AgentExecution>;
}

export function createExecutionClient(transport: Transport): ExecutionClient {
  const command = createConnectClient(AgentExecutionCommandController, transport);
  const query = createConnectClient(AgentExecutionQueryController, transport);
  return {
    create: (execution) => call(describe("execution", execution), () => command.create(execution)),
    get: (id) => call(`execution ${id}`, () => query.get({ value: requireId("execution_id", id) })),
    delete: (id) => call(`execution ${id}`, () => command.delete({ value: requireId("execution_id", id) })),
    list: ({ phase, tags = [], pageSize = 0, pageToken = "" } = {}) =>
      call("executions", async () => {
        const { entries, nextPageToken } = await query.list({ phase, tags: [...tags], pageSize, pageToken });
        return { items: entries, nextPageToken };
      }),
    listBySession: (sessionId, { pageSize = 0, pageToken = "" } = {}) =>
      call(`executions of session ${sessionId}`, async () => {
        const request = { sessionId: requireId("session_id", sessionId), pageSize, pageToken };
        const { entries, nextPageToken } = await query.listBySession(request);
        return { items: entries, nextPageToken };
      }),
    cancel: (id, reason = "") =>
      call(`execution ${id}`, () => command.cancel({ executionId: requireId("execution_id", id), reason })),
    pause: (id, reason = "") =>
      call(`execution ${id}`, () => command.pause({ executionId: requireId("execution_id", id), reason })),
    resume: (id) => call(`execution ${id}`, () => command.resume({ executionId: requireId("execution_id", id) })),
    sendMessage: (id, text, { messageId = "" } = {}) =>
      call(`message to execution ${id}`, () =>
        command.sendMessage({ executionId: requireId("execution_id", id), messageId, text }),
      ),
    watch: (id, options) => watchExecution(query, requireId("execution_id", id), options),
    patchStatus: ({ executionId, fence, sequence, delta }) =>
      call(`status of execution ${executionId}`, async () => {
        const request = { executionId: requireId("execution_id", executionId), fence, sequence, delta };
        return (await command.patchStatus(request)).revision;
      }),
    updateStatus: (executionId, status) =>
      call(`status of execution ${executionId}`, () =>
        command.updateStatus({ executionId: requireId("execution_id", executionId), status }),
      ),
  };
}
