import { setImmediate as nextTurn } from "node:timers/promises";
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import { kinds } from "@stigmer/protos";
import {
  type AgentExecution,
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  WhenBusy,
  ExecutionPhase,
  type ResolveApprovalInput,
} from "@stigmer/protos/agentexecution/v1";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { ExecutionContext } from "@stigmer/protos/executioncontext/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { insertRun } from "../executions/insert-run.ts";
import { assembleExecution, readExecution } from "../executions/read-execution.ts";
import type { RunStatuses } from "../executions/run-statuses.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store, StoreTransaction } from "../store/store.ts";
import type { Access } from "./access.ts";
import { announceTask } from "./announce-task.ts";
import { invalidField } from "./field-errors.ts";
import { createdAudit, newMetadata, replacedMetadata, updatedAudit } from "./metadata.ts";
import { createApprovals } from "./approvals.ts";
import { createOrders } from "./orders.ts";
import { createSessionResolver } from "./resolve-session.ts";
import { notFound, type Resources } from "./resources.ts";
import { keepRuntimeEnv } from "./runtime-env.ts";
import { transact } from "./transact.ts";
import { openRunsOf, refuseWhenBusy, steer } from "./when-busy.ts";

/** What can be asked about runs, apart from their status. Secrets are masked in everything that comes out. */
export interface AgentExecutions {
  /**
   * Makes a run, or says its message to the one under way, as `when_busy` wants it: the run that will answer comes back. Throws
   * FAILED_PRECONDITION when it was not to wait.
   */
  create(given: AgentExecution, principal: Principal): Promise<AgentExecution>;
  update(given: AgentExecution, principal: Principal): Promise<AgentExecution>;
  cancel(id: string, reason: string, principal: Principal): Promise<AgentExecution>;
  /** Throws FAILED_PRECONDITION when the run has ended. */
  pause(id: string, reason: string, principal: Principal): Promise<AgentExecution>;
  /** Throws FAILED_PRECONDITION when the run has ended. */
  resume(id: string, principal: Principal): Promise<AgentExecution>;
  /** Says something to a run under way. Throws FAILED_PRECONDITION when the run has ended without hearing it. */
  sendMessage(id: string, message: SentMessage, principal: Principal): Promise<AgentExecution>;
  /**
   * Decides a tool call that waits for a person. Throws NOT_FOUND when there is no such call, FAILED_PRECONDITION when it does
   * not wait, or was decided otherwise.
   */
  resolveApproval(given: ResolveApprovalInput, principal: Principal): Promise<AgentExecution>;
  delete(id: string, principal: Principal): Promise<AgentExecution>;
  /** Throws NOT_FOUND. */
  get(id: string, principal: Principal): Promise<AgentExecution>;
  /** The stored row without its status. Throws NOT_FOUND. */
  find(id: string, principal: Principal): Promise<ExecutionRecord>;
}

/** What is said to a run. */
export interface SentMessage {
  /** Names the message within the run; empty: one is made. */
  readonly messageId: string;
  readonly text: string;
}

export interface AgentExecutionsOptions {
  readonly store: Store;
  readonly runs: RunStatuses;
  readonly engine: Pick<Engine, "start" | "expect" | "cancel" | "pause" | "resume" | "deliver">;
  readonly sessions: Resources<Session>;
  readonly contexts: Resources<ExecutionContext>;
  readonly secrets: Secrets;
  readonly access: Access;
  /** Where the work of runs goes. */
  readonly taskQueue: string;
  /** How many runs of an organization may wait for it. */
  readonly maxWaitingRunsPerOrg: number | undefined;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

const KIND = "AgentExecution";

/** For how long a count of what waits is gone by while it is far from the limit, in milliseconds. */
const ROOM_MS = 1_000;
/** Of how many organizations. */
const MAX_ROOMS = 10_000;

export function createAgentExecutions(options: AgentExecutionsOptions): AgentExecutions {
  const { store, runs, engine, contexts, secrets, access, taskQueue, logger, clock } = options;
  const resolveSession = createSessionResolver(options);

  async function find(
    tx: Pick<StoreTransaction, "executions">,
    id: string,
    principal: Principal,
  ): Promise<ExecutionRecord> {
    const record = await tx.executions.get(id);
    const isOther = principal.role === "runner" && principal.holds?.executionId !== id;
    if (!record || isOther || !access.canRead(principal, ownerOf(record))) throw notFound(KIND, id);
    return record;
  }

  /** One that the caller may change. */
  async function findOwn(id: string, principal: Principal): Promise<ExecutionRecord> {
    const record = await find(store, id, principal);
    access.requireWrite(principal, ownerOf(record));
    return record;
  }

  async function get(id: string, principal: Principal): Promise<AgentExecution> {
    await find(store, id, principal);
    const execution = await readExecution({ store, runs }, id);
    if (!execution) throw notFound(KIND, id);
    return execution;
  }

  async function createIn(tx: StoreTransaction, given: AgentExecution, principal: Principal): Promise<AgentExecution> {
    const createdAt = clock();
    const { session, agentId } = await resolveSession(tx, given, principal);
    const execution = clone(AgentExecutionSchema, given);
    const defaultScope = ApiResourceOwnerScope.api_resource_owner_scope_unspecified;
    const metadata = newMetadata(given.metadata, { kind: KIND, schema: AgentExecutionSchema, defaultScope, principal });
    const sessionId = session.metadata?.id ?? "";
    metadata.org = session.metadata?.org ?? "";
    access.requireWrite(principal, metadata);
    await refuseWhenBusy(tx, given.spec?.whenBusy, sessionId);
    execution.apiVersion = kinds[KIND].apiVersion;
    execution.kind = KIND;
    execution.metadata = metadata;
    if (execution.spec) Object.assign(execution.spec, { sessionId, agentId, agentRef: undefined });
    execution.status = create(AgentExecutionStatusSchema, { audit: createdAudit(principal, createdAt) });
    const stored = secrets.mask(execution);

    const status = await insertRun(tx, { execution: stored, taskQueue, createdAt });
    await keepRuntimeEnv(contexts, tx, { execution, principal });
    stored.status = { ...status, audit: execution.status.audit, revision: 1 };
    return stored;
  }

  /** How many runs an organization may make before it is counted again what waits, and until when. */
  const rooms = new Map<string, { left: number; readonly until: number }>();

  /** Looked at before the run is stored, so those that come at one moment may together be some more. */
  async function refuseBacklog({ org }: Principal): Promise<void> {
    const { maxWaitingRunsPerOrg: upTo } = options;
    if (upTo === undefined) return;
    const room = rooms.get(org);
    if (room && clock() < room.until && room.left-- > 0) return;
    const waiting = await store.tasks.countWaiting({ queue: taskQueue, org, upTo });
    if (rooms.size >= MAX_ROOMS) rooms.clear();
    // Half of it: other servers count, too.
    rooms.set(org, { left: Math.floor((upTo - waiting) / 2), until: clock() + ROOM_MS });
    if (waiting < upTo) return;
    throw new ConnectError(
      `organization ${org} has ${upTo} runs that wait, which is as many as may: wait until some have begun, or cancel some`,
      Code.ResourceExhausted,
    );
  }

  /** Answered when it is stored, and when the end of those that it interrupts is. */
  async function createRun(given: AgentExecution, principal: Principal): Promise<AgentExecution> {
    await refuseBacklog(principal);
    const storing = transact(store, async (tx) => {
      const execution = await createIn(tx, given, principal);
      const interrupts = given.spec?.whenBusy === WhenBusy.INTERRUPT;
      const before = interrupts ? await openRunsOf(tx.executions, execution.spec?.sessionId ?? "") : [];
      return { execution, before };
    });
    engine.expect?.({ org: principal.org });
    const { execution, before } = await storing;
    const id = execution.metadata?.id ?? "";
    const { org = "" } = execution.metadata ?? {};
    const { sessionId, agentId } = execution.spec ?? {};
    logger.info({ executionId: id, sessionId, agentId, org, by: principal.id }, "run created");
    for (const open of before) if (open.id !== id) await engine.cancel(open.id, `Interrupted by ${id}.`);
    await announceTask(engine, { id, org }, logger);
    // Whoever works on it hears of it first: what a call answers would be put together, and sent, before that.
    await nextTurn();
    return execution;
  }

  async function updateIn(tx: StoreTransaction, given: AgentExecution, principal: Principal): Promise<void> {
    const id = given.metadata?.id ?? "";
    if (id === "") {
      throw invalidField({
        schema: AgentExecutionSchema,
        field: "metadata.id",
        message: "is required: a run has no other name",
      });
    }
    const record = await find(tx, id, principal);
    access.requireWrite(principal, ownerOf(record));
    const task = await tx.tasks.state(id);
    const waits = record.phase === ExecutionPhase.EXECUTION_PENDING || record.phase === ExecutionPhase.EXECUTION_PAUSED;
    if (record.ended || !waits || (task && task.fence > 0)) {
      throw new ConnectError(`${id} has started: what it was asked can't be changed any more`, Code.FailedPrecondition);
    }
    const previous = fromBinary(AgentExecutionSchema, record.body);
    if (!previous.metadata) throw new Error(`The stored ${id} has no metadata.`);
    const next = clone(AgentExecutionSchema, given);
    const metadata = replacedMetadata(given.metadata, previous.metadata, AgentExecutionSchema);
    const { sessionId, agentId } = record;
    next.apiVersion = previous.apiVersion;
    next.kind = previous.kind;
    next.traceparent = previous.traceparent;
    next.metadata = metadata;
    if (next.spec) Object.assign(next.spec, { sessionId, agentId, agentRef: undefined });
    const audit = updatedAudit(previous.status?.audit, principal, clock());
    next.status = create(AgentExecutionStatusSchema, { audit });
    await keepRuntimeEnv(contexts, tx, { execution: next, previous, principal });
    const body = toBinary(AgentExecutionSchema, secrets.mask(next));
    await tx.executions.replaceBody(id, { name: metadata.name, labels: metadata.labels, tags: metadata.tags, body });
  }

  async function requireIdle(tx: StoreTransaction, { id, ended }: ExecutionRecord): Promise<void> {
    const task = await tx.tasks.state(id);
    if (ended || task?.state === "waiting") return;
    throw new ConnectError(`${id} is under way: cancel it, or wait for its end`, Code.FailedPrecondition);
  }

  return {
    create: (given, principal) => {
      const { sessionId = "", whenBusy } = given.spec ?? {};
      if (sessionId === "" || whenBusy !== WhenBusy.STEER) return createRun(given, principal);
      return steer({ store, engine, access, get, create: createRun }, given, principal);
    },
    update: async (given, principal) => {
      await transact(store, (tx) => updateIn(tx, given, principal));
      return get(given.metadata?.id ?? "", principal);
    },
    cancel: async (id, reason, principal) => {
      const record = await findOwn(id, principal);
      if (!record.ended) await engine.cancel(id, reason || "Cancelled on request.");
      return get(id, principal);
    },
    ...createOrders({ engine, runs, get, findOwn }),
    resolveApproval: createApprovals({ store, engine, sessions: options.sessions, get, findOwn }),
    delete: async (id, principal) => {
      const status = await runs.read(id);
      const record = await transact(store, async (tx) => {
        const record = await find(tx, id, principal);
        access.requireWrite(principal, ownerOf(record));
        await requireIdle(tx, record);
        await tx.executions.delete(id);
        return record;
      });
      return assembleExecution(record, status ?? create(AgentExecutionStatusSchema));
    },
    get,
    find: (id, principal) => find(store, id, principal),
  };
}

function ownerOf({ org }: ExecutionRecord): { org: string; ownerScope: number } {
  return { org, ownerScope: ApiResourceOwnerScope.api_resource_owner_scope_unspecified };
}
