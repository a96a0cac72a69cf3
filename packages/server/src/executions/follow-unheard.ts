import { clone, create, fromBinary } from "@bufbuild/protobuf";
import { createId, isId } from "@stigmer/protos";
import {
  type AgentExecution,
  AgentExecutionSchema,
  AgentExecutionSpecSchema,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { ApiResourceMetadataSchema, ApiResourceMetadataVersionSchema } from "@stigmer/protos/apiresource";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import type { Logger } from "../logger.ts";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { insertRun } from "./insert-run.ts";
import { readExecution } from "./read-execution.ts";
import type { RunStatuses } from "./run-statuses.ts";

export interface FollowUnheardOptions {
  readonly store: Pick<Store, "executions" | "queue" | "transaction">;
  readonly runs: Pick<RunStatuses, "read">;
  readonly taskQueue: string;
  readonly logger: Logger;
  readonly clock: () => number;
}

/**
 * Whoever steers a session is promised that the message is heard. It has the id of the run that it would have been: one that
 * came too late for the run under way becomes that run when this one has ended, and before its task is done. So whoever sends
 * it sees either a run that will look here, or one that has ended. May be called again for the same run.
 *
 * A cancelled run takes what was said to it along: who cancels wants nothing more of it.
 */
export async function followUnheard(executionId: string, options: FollowUnheardOptions): Promise<void> {
  const { store, runs, taskQueue, logger, clock } = options;
  const items = await store.queue.inbox(executionId, { seen: 0 });
  const steering = items.filter(({ id }) => isId(id, "AgentExecution"));
  if (steering.length === 0) return;
  const before = await readExecution({ store, runs }, executionId);
  if (!before?.status || before.status.phase === ExecutionPhase.EXECUTION_CANCELLED) return;
  for (const { id, payload } of steering) {
    const { item } = fromBinary(InboxItemSchema, payload);
    if (item.case !== "message" || isHeard(before, id)) continue;
    const execution = followUp(before, before.status, { id, text: item.value.text });
    try {
      await store.transaction(async (tx) => {
        await insertRun(tx, { execution, taskQueue, createdAt: clock() });
      });
      logger.info({ executionId, next: id }, "What was said to a run came too late for it, and is a run of its own.");
    } catch (error) {
      if (!StoreError.is(error) || error.code !== "already-exists") throw error;
    }
  }
}

/** Whether the run has a message of its inbox in its conversation. */
export function isHeard({ metadata, status }: AgentExecution, messageId: string): boolean {
  return status?.messages.some(({ id }) => id === `${metadata?.id}/${messageId}`) ?? false;
}

interface Said {
  readonly id: string;
  readonly text: string;
}

/** As the run before was asked for, without its variables, which went with it. */
function followUp(
  { metadata, spec, ...before }: AgentExecution,
  { audit }: AgentExecutionStatus,
  said: Said,
): AgentExecution {
  const { sessionId, agentId, executionConfig } = spec ?? create(AgentExecutionSpecSchema);
  const version = create(ApiResourceMetadataVersionSchema, { id: createId("ApiResourceVersion") });
  const own = metadata ? clone(ApiResourceMetadataSchema, metadata) : create(ApiResourceMetadataSchema);
  Object.assign(own, { id: said.id, name: said.id, slug: said.id, version });
  return create(AgentExecutionSchema, {
    apiVersion: before.apiVersion,
    kind: before.kind,
    metadata: own,
    spec: create(AgentExecutionSpecSchema, { sessionId, agentId, message: said.text, executionConfig }),
    status: create(AgentExecutionStatusSchema, { audit }),
  });
}
