import type { LeaseKey } from "@stigmer/engine/embedded";
import type { Store } from "../store.ts";
import { execution } from "./conformance/executions.ts";

/** Stores a status of a task's run that says that it rests by itself; the run is made for that where there is none. */
export async function comeToRest({ executions }: Store, { taskId: id, fence }: LeaseKey): Promise<void> {
  const state = await executions.writeState(id);
  if (!state) await executions.insert(execution({ id }));
  const expectedRevision = state?.revision ?? 1;
  await executions.append({ id, expectedRevision, fence, delta: new Uint8Array(), rests: true });
}
