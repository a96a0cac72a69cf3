import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { Store, StoreTransaction } from "../store/store.ts";
import { orAfterLostRace, transact } from "./transact.ts";

/** The thread of a session that was not given one. */
export function threadOf(sessionId: string): string {
  return `thread-${sessionId}`;
}

export interface SessionThreads {
  /** The session's thread, given to it when it has none. Throws NOT_FOUND. */
  ensure(sessionId: string): Promise<string>;
}

/**
 * Gives sessions their threads. A runner asks before it holds a run, so it proves nothing by a fence: it is told of a session
 * whose run somebody has, and only the name of the thread. That run may be over: the runner that stored its end may have died
 * before it told the engine, and the next one asks again.
 */
export function createSessionThreads(store: Pick<Store, "transaction">): SessionThreads {
  return {
    ensure: (sessionId) =>
      transact(store, async (tx) => {
        const threadId = (await tx.tasks.holdsLease(sessionId)) ? await givenThread(tx, sessionId) : undefined;
        if (threadId !== undefined) return threadId;
        throw new ConnectError(`Session ${sessionId} does not exist, or has no run in work`, Code.NotFound);
      }),
  };
}

/** The same for the server itself, before anybody holds the run. Undefined when there is no such session. */
export async function giveThread(
  store: Pick<Store, "resources" | "transaction">,
  sessionId: string,
): Promise<string | undefined> {
  const record = await store.resources.get("Session", sessionId);
  // Mostly it has one: then nobody's writes wait for this.
  const known = record && fromBinary(SessionSchema, record.body).spec?.threadId;
  return known || orAfterLostRace(() => transact(store, (tx) => givenThread(tx, sessionId)));
}

async function givenThread(tx: StoreTransaction, sessionId: string): Promise<string | undefined> {
  const record = await tx.resources.get("Session", sessionId);
  const session = record && fromBinary(SessionSchema, record.body);
  if (!record || !session?.spec) return undefined;
  if (session.spec.threadId === "") {
    session.spec.threadId = threadOf(sessionId);
    // Nobody has changed the session: version and audit stay.
    await tx.resources.replace({ ...record, body: toBinary(SessionSchema, session) }, record.version);
  }
  return session.spec.threadId;
}
