import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import {
  createSandboxSessions,
  type Sandbox,
  SandboxError,
  type SandboxHolds,
  type SandboxSession,
  type SandboxSessions,
} from "@stigmer/sandbox";
import { variables } from "@stigmer/config";
import { SandboxType, type Session } from "@stigmer/protos/session/v1";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import type { SandboxOffer, Sandboxes } from "../sandboxes.ts";
import { RunError } from "./run-error.ts";

/** Where a session's commands run and its files live. */
export interface Workspace {
  readonly sandbox: Sandbox;
  /** Skills are put here, relative to the root: out of the way in a directory that is the user's own. */
  readonly skillsDirectory: "skills" | ".stigmer/skills";
  /** The sandbox's root on this machine; where that is elsewhere, a place for programs of the session that run here. */
  readonly directory: string;
  /** For what is too long for the model's context; outside the user's tree. */
  readonly spillDirectory: string;
  /** Nobody has worked in it before: there is nothing in it to look for. */
  readonly isNew: boolean;
  /** What the agent must be told about it: that it is not the one that the session had before. */
  readonly notice?: string;
}

export interface SessionWorkspacesOptions {
  readonly sandboxes: SandboxOffer;
  /** Where other runners work on the same sessions. */
  readonly holds?: SandboxHolds;
  /** `SANDBOX_ROOT_DIR`: then all sessions share it. */
  readonly sharedRoot?: string;
  /** A session without a directory of its own gets `<workspacesDir>/<session id>`. */
  readonly workspacesDir: string;
  readonly dataDir: string;
  readonly logger: Logger;
  /** Told of each sandbox that was opened, or could not be. */
  readonly onOpened?: (type: string, outcome: "opened" | "failed") => void;
}

/**
 * Keeps the sandbox's id with its session. Answers the id of the session's sandbox, which may be another by now. `foundWithout`: as in
 * `SandboxMemory`.
 */
export type RememberSandbox = (sandboxId: string, options: { readonly foundWithout: boolean }) => Promise<string>;

/**
 * The sandboxes of this runner's sessions, each of the kind that its session was made with. One per session: what runs in the
 * background outlives the turn that started it.
 */
export interface SessionWorkspaces {
  /**
   * The sandbox that the session had, if that still works, else a new one. Throws `RunError` when the session's directory
   * is not there or not to be had, or when the session asks for a kind of sandbox that is not offered or not to be had;
   * `SandboxError`, and what `remember` throws.
   */
  get(session: Session, remember: RememberSandbox): Promise<Workspace>;
  /** Ends a session's sandbox, whoever has it open, and deletes what is held for it. */
  remove(session: DeletedSession): Promise<void>;
  /** Ends all of them; they can be opened again. */
  dispose(): Promise<void>;
}

export interface DeletedSession {
  /** Empty: whoever deleted it knows its sandbox alone. */
  readonly sessionId: string;
  /** Empty: none was stored. */
  readonly sandboxId: string;
  /** The kind that it was made with. Default: that of its runner. */
  readonly sandboxType?: SandboxType;
}

const replaced =
  "This session's sandbox is a new one: the one before is gone, with all that ran in it and every file that is not in the working directory now. Look before you rely on what was done in it.";

interface OpenSession extends SandboxSession {
  readonly rootDir: string;
  readonly remember: RememberSandbox;
  onReplaced(): void;
}

export function createSessionWorkspaces(options: SessionWorkspacesOptions): SessionWorkspaces {
  const { sandboxes: offer, logger } = options;
  const open = new Map<Sandboxes, SandboxSessions<OpenSession>>();

  function sessionsIn(sandboxes: Sandboxes): SandboxSessions<OpenSession> {
    const sessions = open.get(sandboxes) ?? keepSessions(sandboxes);
    open.set(sandboxes, sessions);
    return sessions;
  }

  const keepSessions = (sandboxes: Sandboxes): SandboxSessions<OpenSession> =>
    createSandboxSessions<OpenSession>({
      async create({ id, rootDir }, sandboxId) {
        try {
          const sandbox = await sandboxes.open({ sessionId: id, rootDir }, sandboxId);
          options.onOpened?.(sandboxes.type, "opened");
          return sandbox;
        } catch (error) {
          options.onOpened?.(sandboxes.type, "failed");
          throw error;
        }
      },
      async store({ id, remember }, sandboxId) {
        if (sandboxes.holdsById) return remember(sandboxId, { foundWithout: false });
        // So nobody waits for it.
        remember(sandboxId, { foundWithout: true }).catch((error: unknown) =>
          logger.warn({ sessionId: id, sandboxId, err: error }, "the session's sandbox id was not stored"),
        );
        return sandboxId;
      },
      onReplaced(session, reason) {
        logger.warn(
          { sessionId: session.id, sandboxId: session.sandboxId, err: reason },
          "the session's sandbox is replaced",
        );
        session.onReplaced();
      },
      holds: options.holds,
      idleMs: sandboxes.idleMs,
      ttlMs: sandboxes.ttlMs,
    });

  return {
    async get(session, remember) {
      const id = session.metadata?.id ?? "";
      const own = session.spec?.workspaceDir ?? "";
      const sandboxes = await sandboxesFor(session, offer);
      if (own !== "") await assertWorkspace(own, id, sandboxes);
      const rootDir = options.sharedRoot ?? (own || join(options.workspacesDir, id));
      // Whatever it held would lie there.
      const isNew = rootDir === join(options.workspacesDir, id) && !sandboxes.holdsById && !existsSync(rootDir);
      const sandboxId = session.spec?.sandboxId ?? "";
      const told: { notice?: string } = {};
      const sandbox = await sessionsIn(sandboxes).getOrCreateSandbox({
        id,
        ...(sandboxId !== "" && { sandboxId }),
        rootDir,
        remember,
        onReplaced: () => void (told.notice = replaced),
      });
      return {
        sandbox,
        directory: rootDir,
        skillsDirectory: own !== "" && rootDir === own ? ".stigmer/skills" : "skills",
        spillDirectory: join(options.dataDir, "spill", id),
        isNew,
        ...told,
      };
    },
    async remove(session) {
      const { sessionId, sandboxId } = session;
      for (const sessions of open.values()) await sessions.release(sessionId, { remove: true });
      // Another runner may have it open since its last turn: what is removed under it would be held until it falls idle.
      const hold = sessionId === "" ? undefined : await options.holds?.acquire(sessionId, () => {});
      try {
        // One that another runner had, or this one before it was started anew.
        for (const sandboxes of kindsOfDeleted(session, offer)) {
          if (sandboxes) await sandboxes.remove(sandboxId, sessionId);
          else
            logger.warn(
              { sessionId, sandboxId },
              "a deleted session's sandbox stays: this runner offers none of its kind",
            );
        }
      } finally {
        await hold?.release();
      }
    },
    async dispose() {
      await Promise.all([...open.values()].map((sessions) => sessions.dispose()));
    },
  };
}

/** The kind that the session was made with, which has been found to be there. */
async function sandboxesFor({ metadata, spec }: Session, offer: SandboxOffer): Promise<Sandboxes> {
  const asked = spec?.sandboxType ?? SandboxType.UNSPECIFIED;
  if (asked === SandboxType.UNSPECIFIED) return offer[0];
  const name = nameOf(asked);
  const wish = `session ${metadata?.id} was made for a sandbox of type ${name} (spec.sandbox_type)`;
  const sandboxes = offer.find(({ type }) => type === name);
  if (sandboxes === undefined) {
    const offered = offer.map(({ type }) => type).join(", ");
    const mode = offer[0].takesDirectories ? "local" : "cloud";
    const possible: readonly string[] = variables.SANDBOX_TYPES.format[mode];
    const advice = possible.includes(name)
      ? `create a session with one of these, or have ${name} added to SANDBOX_TYPES of the runner`
      : `create a session with one of these, since no runner in ${mode} mode has ${name}`;
    throw new RunError(`${wish}, and this runner offers ${offered}: ${advice}`);
  }
  await sandboxes.check().catch((cause: unknown) => {
    throw SandboxError.is(cause) ? new RunError(`${wish}: ${cause.message}`, { cause }) : cause;
  });
  return sandboxes;
}

/** The kinds that may hold something for it. What is not offered is undefined. */
function kindsOfDeleted(
  { sandboxId, sandboxType = 0 }: DeletedSession,
  offer: SandboxOffer,
): Set<Sandboxes | undefined> {
  const named = (name: string): Sandboxes | undefined => offer.find(({ type }) => type === name);
  if (sandboxType !== SandboxType.UNSPECIFIED) return new Set([named(nameOf(sandboxType))]);
  // Its runner may have been set up with another kind then, which its id tells.
  const [, kind] = /^(filesystem|isolated|docker):/.exec(sandboxId) ?? [];
  return new Set([offer[0], ...(kind === undefined ? [] : [named(kind)])]);
}

/** One of a server to come has a number alone. */
const nameOf = (type: SandboxType): string => SandboxType[type]?.toLowerCase() ?? String(type);

async function assertWorkspace(path: string, sessionId: string, { type, takesDirectories }: Sandboxes): Promise<void> {
  if (!takesDirectories) {
    throw new RunError(
      `session ${sessionId} is to work in ${path}, a directory of a person's machine, which a ${type} sandbox of a runner in cloud mode can't reach: create a session without a workspace, or run it in local mode`,
    );
  }
  const isDirectory = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (isDirectory) return;
  throw new RunError(`the workspace ${path} of session ${sessionId} is not a directory on this machine`);
}
