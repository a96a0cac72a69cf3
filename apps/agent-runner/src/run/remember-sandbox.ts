import { ClientError, type RememberSandboxInput, type ResourceClients } from "@stigmer/client";
import type { Session, SessionSpec } from "@stigmer/protos/session/v1";

const MOST_TRIES = 5;

export interface SandboxMemory extends Pick<ResourceClients, "sessions"> {
  /** Tells it as a word of the run (`RunRecord.rememberSandbox`). Undefined: the run has no fence to tell it under. */
  readonly tellSandbox?:
    | ((change: Omit<RememberSandboxInput, "executionId" | "fence">) => Promise<string | undefined>)
    | undefined;
  /** Whoever runs the next turn finds the sandbox without its id, so that a power cut may take that. Default false. */
  readonly foundWithout?: boolean | undefined;
}

/**
 * Stores the sandbox's id in the session, so that whoever runs the next turn comes back to it; only where the session has still
 * the one that was found of no use, or none. Answers the id that the session has then: where somebody else was quicker, theirs.
 * The session given has it then, too.
 */
export async function rememberSandbox(
  { sessions, tellSandbox, foundWithout }: SandboxMemory,
  session: Session,
  sandboxId: string,
): Promise<string> {
  const { spec } = session;
  if (!spec || spec.sandboxId === sandboxId) return sandboxId;
  const told = await tellSandbox?.({ sandboxId, previousSandboxId: spec.sandboxId, foundWithout });
  if (told === undefined) return updateSession(sessions, session, spec, sandboxId);
  session.spec = { ...spec, sandboxId: told };
  return told;
}

/** The same for a server that does not know such a word, or has not answered it: then it may be done already. */
async function updateSession(
  sessions: ResourceClients["sessions"],
  session: Session,
  spec: SessionSpec,
  sandboxId: string,
): Promise<string> {
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
