import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { McpConnections } from "@stigmer/agent";
import type { Activities } from "@stigmer/engine";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import type { Checkpoints } from "../run/prepare-agent.ts";
import type { SessionWorkspaces } from "../run/session-workspaces.ts";
import { threadOf } from "./ensure-thread.ts";

export interface CleanupSandboxDependencies {
  readonly workspaces: SessionWorkspaces;
  readonly mcp: Pick<McpConnections, "closeSession">;
  readonly checkpoints: Pick<Checkpoints, "checkpointer">;
  readonly workspacesDir: string;
  readonly dataDir: string;
  readonly logger: Logger;
}

// `ses-<ULID>`: what is not of this form names no directory of ours.
const SESSION_ID = /^ses-[0-9a-z]{26}$/;

/**
 * What a deleted session leaves: its MCP servers, its sandbox with all that runs in it, its thread, and the directories made for it. A user's
 * own directory stays. A workflow that knows the sandbox alone has that removed.
 */
export function createCleanupSandbox(dependencies: CleanupSandboxDependencies): Activities["cleanupSandbox"] {
  const { workspaces, mcp, checkpoints, workspacesDir, dataDir, logger } = dependencies;
  return async ({ sessionId, sandboxId, sandboxType }) => {
    if (sessionId !== "") await mcp.closeSession(sessionId);
    await workspaces.remove({ sessionId, sandboxId, sandboxType });
    if (sessionId !== "") await (await checkpoints.checkpointer()).deleteThread(threadOf(sessionId));
    if (SESSION_ID.test(sessionId)) {
      await rm(join(workspacesDir, sessionId), { recursive: true, force: true });
      await rm(join(dataDir, "spill", sessionId), { recursive: true, force: true });
    }
    logger.info({ sessionId, sandboxId }, "session cleaned up");
  };
}
