import { ClientError, type ResourceClients } from "@stigmer/client";
import type { Session } from "@stigmer/protos/session/v1";

const MOST_TRIES = 5;

/**
 * Stores the sandbox's id in the session, so that whoever runs the next turn comes back to it; only where the session has still
 * the one that was found of no use, or none. Answers the id that the session has then: where somebody else was quicker, theirs.
 * The session given becomes what is stored.
 */
export async function rememberSandbox(
  { sessions }: Pick<ResourceClients, "sessions">,
  session: Session,
  sandboxId: string,
): Promise<string> {
  const { spec } = session;
  if (!spec || spec.sandboxId === sandboxId) return sandboxId;
  const useless = spec.sandboxId;
  for (let tries = 1; ; tries += 1) {
    session.spec = { ...(session.spec ?? spec), sandboxId };
    try {
      // Refused when the session is not the version that was read.
      const { metadata } = await sessions.update(session);
      session.metadata = metadata;
      return sandboxId;
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "failed-precondition" || tries === MOST_TRIES) throw error;
    }
    const stored = await sessions.get(session.metadata?.id ?? "");
    session.metadata = stored.metadata;
    session.spec = stored.spec;
    const theirs = stored.spec?.sandboxId ?? "";
    if (theirs !== "" && theirs !== useless) return theirs;
  }
}
