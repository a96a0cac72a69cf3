import { create, toBinary } from "@bufbuild/protobuf";
import { CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { StoreTransaction } from "../store/store.ts";

/** Leaves it to a runner to remove what a session has outside of the store. Answers the task's id, for the engine to be told. */
export async function enqueueCleanup(
  tx: Pick<StoreTransaction, "tasks">,
  { metadata, spec }: Session,
  { taskQueue, createdAt }: { readonly taskQueue: string; readonly createdAt: number },
): Promise<string> {
  const { id: sessionId = "" } = metadata ?? {};
  const { sandboxId = "", workspaceDir = "", sandboxType } = spec ?? {};
  const id = `cleanup-${sessionId}`;
  const cleanup = create(CleanupSandboxTaskSchema, { sandboxId, sandboxType, workspaceDir, sessionId });
  const payload = toBinary(CleanupSandboxTaskSchema, cleanup);
  // It is no run: it waits for no turn of an organization.
  await tx.tasks.enqueue({ id, kind: "cleanup-sandbox", queue: taskQueue, sessionId, org: "", payload, createdAt });
  return id;
}
