import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { EnsureThreadResponseSchema, type RunnerController } from "@stigmer/protos/runner/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { Store, StoreTransaction } from "../store/store.ts";
import { transact } from "./transact.ts";
import { openRunsOf } from "./when-busy.ts";

/**
 * Gives sessions their threads. A runner asks before it holds a run, so it proves nothing by a fence: it is told of a session
 * whose run is in work, and only the name of the thread.
 */
export function createEnsureThread(
  store: Pick<Store, "transaction">,
): ServiceImpl<typeof RunnerController>["ensureThread"] {
  return ({ sessionId }) =>
    transact(store, async (tx) => {
      const record = await tx.resources.get("Session", sessionId);
      const session = record && fromBinary(SessionSchema, record.body);
      if (!record || !session?.spec || !(await isInWork(tx, sessionId))) {
        throw new ConnectError(`Session ${sessionId} does not exist, or has no run in work`, Code.NotFound);
      }
      if (session.spec.threadId === "") {
        session.spec.threadId = `thread-${sessionId}`;
        // Nobody has changed the session: version and audit stay.
        await tx.resources.replace({ ...record, body: toBinary(SessionSchema, session) }, record.version);
      }
      return create(EnsureThreadResponseSchema, { threadId: session.spec.threadId });
    });
}

async function isInWork(tx: StoreTransaction, sessionId: string): Promise<boolean> {
  for (const { id } of await openRunsOf(tx.executions, sessionId)) {
    if ((await tx.tasks.state(id))?.state === "leased") return true;
  }
  return false;
}
