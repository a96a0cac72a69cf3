import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Sandbox } from "@stigmer/sandbox";
import type { Session } from "@stigmer/protos/session/v1";
import { RunError } from "./run-error.ts";

/** Where a session's commands run and its files live. */
export interface Workspace {
  readonly sandbox: Sandbox;
  /** Skills are put here, relative to the root: out of the way in a directory that is the user's own. */
  readonly skillsDirectory: "skills" | ".stigmer/skills";
  /** For what is too long for the model's context; outside the user's tree. */
  readonly spillDirectory: string;
}

export interface SessionWorkspacesOptions {
  /** Makes the sandbox over a directory. */
  readonly createSandbox: (rootDir: string) => Promise<Sandbox>;
  /** `SANDBOX_ROOT_DIR`: then all sessions share it. */
  readonly sharedRoot?: string;
  /** A session without a directory of its own gets `<workspacesDir>/<session id>`. */
  readonly workspacesDir: string;
  readonly dataDir: string;
}

/** The sandboxes of this runner's sessions. One per session: what runs in the background outlives the turn that started it. */
export interface SessionWorkspaces {
  /** Throws `RunError` when the session's directory is not there. */
  get(session: Session): Promise<Workspace>;
  /** Ends one session's sandbox. */
  release(sessionId: string): Promise<void>;
  /** Ends all of them. */
  dispose(): Promise<void>;
}

export function createSessionWorkspaces(options: SessionWorkspacesOptions): SessionWorkspaces {
  const open = new Map<string, Promise<Workspace>>();

  async function make(session: Session): Promise<Workspace> {
    const id = session.metadata?.id ?? "";
    const own = session.spec?.workspaceDir ?? "";
    if (own !== "" && !(await isDirectory(own))) {
      throw new RunError(`the workspace ${own} of session ${id} is not a directory on this machine`);
    }
    const rootDir = options.sharedRoot ?? (own || join(options.workspacesDir, id));
    return {
      sandbox: await options.createSandbox(rootDir),
      skillsDirectory: own !== "" && rootDir === own ? ".stigmer/skills" : "skills",
      spillDirectory: join(options.dataDir, "spill", id),
    };
  }

  return {
    get(session) {
      const id = session.metadata?.id ?? "";
      let workspace = open.get(id);
      if (!workspace) {
        workspace = make(session);
        open.set(id, workspace);
        // A failure is this turn's; the next one tries again.
        workspace.catch(() => open.delete(id));
      }
      return workspace;
    },
    async release(sessionId) {
      const workspace = open.get(sessionId);
      open.delete(sessionId);
      await (await workspace)?.sandbox.dispose();
    },
    async dispose() {
      const all = [...open.values()];
      open.clear();
      await Promise.allSettled(all.map(async (workspace) => (await workspace).sandbox.dispose()));
    },
  };
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
