import { ClientError, type StigmerClient } from "@stigmer/client";
import type { Activities } from "@stigmer/engine";
import type { JsonLogger as Logger } from "@stigmer/telemetry";

/**
 * The session's conversation thread. Its id follows from the session's, so that two runners which ask at once, or one that
 * died before it stored the answer, agree without talking. The server stores it: a runner sees a session only once it holds one
 * of its runs.
 */
export function createEnsureThread(dependencies: {
  client: StigmerClient;
  logger: Logger;
}): Activities["ensureThread"] {
  const { client, logger } = dependencies;
  return async (sessionId, agentId) => {
    try {
      return await client.runner.ensureThread(sessionId);
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "unimplemented") throw error;
    }
    // A server of before, or of another origin, leaves it to the runner.
    const session = await client.sessions.get(sessionId);
    const existing = session.spec?.threadId ?? "";
    if (existing !== "") return existing;
    const threadId = threadOf(sessionId);
    logger.info({ sessionId, agentId, threadId }, "thread made");
    if (session.spec) session.spec.threadId = threadId;
    await client.sessions.update(session);
    return threadId;
  };
}

/** The thread of a session that was not given one. */
export function threadOf(sessionId: string): string {
  return `thread-${sessionId}`;
}
