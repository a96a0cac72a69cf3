// One sandbox for each session, across turns and restarts: the one it had when that still works, else a new one.
import { AsyncLocalStorage } from "node:async_hooks";
import { SandboxError } from "./errors.ts";
import type { Sandbox, SandboxFiles } from "./sandbox.ts";

/** Who a sandbox belongs to. */
export interface SandboxSession {
  /** Names the session among those of the same `createSandboxSessions`. */
  readonly id: string;
  /** The id of the sandbox that it had before, as it was stored. */
  readonly sandboxId?: string;
}

export interface SandboxSessionsOptions<Session extends SandboxSession> {
  /**
   * Makes a new sandbox for the session; with an id, opens that one again. For example
   * `(session, id) => createSandbox({ type: "filesystem", rootDir: rootOf(session), id })`.
   */
  readonly create: (session: Session, sandboxId: string | undefined) => Promise<Sandbox>;
  /**
   * Keeps the id of a new sandbox with its session. Awaited: a sandbox that could not be stored is removed again. Answers the id
   * of the session's sandbox where that is another one, which somebody else was quicker to store: the new one is
   * removed then, and theirs is opened.
   */
  readonly store: (session: Session, sandboxId: string) => Promise<string | void>;
  /**
   * Where several processes work on the same sessions, one after the other: who has a session's sandbox open. What a caller has read of
   * its session is then newer than what is known here. Default: this process has all sessions to itself.
   */
  readonly holds?: SandboxHolds;
  /** Told when the sandbox that a session had is of no use any more, and a new one is made. */
  readonly onReplaced?: (session: Session, reason: unknown) => void;
  /** Milliseconds without use after which a sandbox is closed, unless something runs in it. It is opened again when asked for. Default: never. */
  readonly idleMs?: number;
  /** Milliseconds after which a sandbox is removed, once it is not in use, and the session gets a new one. Default: never. */
  readonly ttlMs?: number;
  /** Milliseconds that a sandbox has to show that it works. Default 30,000. */
  readonly healthTimeoutMs?: number;
}

/** See to it that one process at a time has a session's sandbox open. */
export interface SandboxHolds {
  /**
   * Resolves when this process may open the session's sandbox: nobody has it, or whoever had it has let go or is taken for
   * dead. `letGo` is called when another process has come to work on the session: the sandbox is closed then, and released.
   */
  acquire(sessionId: string, letGo: () => void): Promise<SandboxHold>;
}

export interface SandboxHold {
  /** Safe to call twice. Never rejects. */
  release(): Promise<void>;
}

export interface SandboxSessions<Session extends SandboxSession> {
  /**
   * The session's sandbox, which has just shown that it works. Callers at the same time get the same one. Ask again for each
   * turn rather than keep it: it may have been closed, or have vanished, in the meantime. Rejects with what `create` or `store` reject with, and the next call tries again.
   */
  getOrCreateSandbox(session: Session): Promise<Sandbox>;
  /** Ends a session's sandbox, and with `remove` deletes what the backend holds for it. */
  release(sessionId: string, options?: { readonly remove?: boolean }): Promise<void>;
  /** Ends all of them; they can be opened again by their ids. */
  dispose(): Promise<void>;
}

const defaultHealthTimeoutMs = 30_000;
/** Node's timers hold no more. */
const longestTimerMs = 2 ** 31 - 1;

/** How often a sandbox is made that turns out not to be the session's. */
const mostAttempts = 3;

interface Entry {
  readonly sandbox: Promise<Sandbox>;
  /** Whether it may be closed or removed now. Set once it is open. */
  use?: Use;
  /** Under way: whether it still works. */
  looking?: Promise<Sandbox>;
  hold?: SandboxHold;
  expired: boolean;
}

/** Keeps the sandboxes of many sessions. */
export function createSandboxSessions<Session extends SandboxSession>(
  options: SandboxSessionsOptions<Session>,
): SandboxSessions<Session> {
  const entries = new Map<string, Entry>();
  /** Ids known here, which may be newer than what the caller has read of its session. */
  const ids = new Map<string, string>();
  const closing = new Map<string, Promise<void>>();
  // A timer keeps what is stored for whoever starts it, here a whole run, for as long as it waits.
  const outside = AsyncLocalStorage.snapshot();

  const startTimer = (onTime: () => void, ms: number): NodeJS.Timeout =>
    outside(() => setTimeout(onTime, Math.min(ms, longestTimerMs)).unref());

  const isHealthy = async (sandbox: Sandbox): Promise<boolean> => {
    const { exitCode } = await sandbox.execute("true", {
      timeoutMs: options.healthTimeoutMs ?? defaultHealthTimeoutMs,
    });
    return exitCode === 0;
  };

  const reopen = async (session: Session, id: string): Promise<Sandbox | undefined> => {
    let opened: Sandbox | undefined;
    try {
      opened = await options.create(session, id);
      if (await isHealthy(opened)) return opened;
      throw new SandboxError("sandbox-gone", `The sandbox ${id} runs no command any more.`);
    } catch (error) {
      await opened?.dispose().catch(() => {});
      // A mistake of the caller, or a backend that is missing, is not cured by another sandbox.
      if (!SandboxError.is(error) || !replaceable.has(error.code)) throw error;
      options.onReplaced?.(session, error);
      return undefined;
    }
  };

  /** The id that the session has as far as is known. */
  const knownId = ({ id, sandboxId }: Session): string | undefined =>
    options.holds === undefined ? (ids.get(id) ?? sandboxId) : (sandboxId ?? ids.get(id));

  const make = async (session: Session, entry: Entry): Promise<Sandbox> => {
    await closing.get(session.id);
    const letGo = (): void => {
      if (entries.get(session.id) === entry) void close(session.id).catch(() => {});
    };
    entry.hold = await options.holds?.acquire(session.id, letGo);
    try {
      return await openOrCreate(session, knownId(session));
    } catch (error) {
      await entry.hold?.release();
      throw error;
    }
  };

  const openOrCreate = async (session: Session, known: string | undefined, attempt = 1): Promise<Sandbox> => {
    const before = known === undefined ? undefined : await reopen(session, known);
    if (before !== undefined) {
      ids.set(session.id, before.id);
      return before;
    }
    const made = await options.create(session, undefined);
    let theirs: string | void;
    try {
      theirs = await options.store(session, made.id);
      if (theirs && theirs !== made.id && attempt === mostAttempts) {
        throw new SandboxError("backend-error", `Others keep giving the session ${session.id} another sandbox.`);
      }
    } catch (error) {
      await made.dispose({ remove: true }).catch(() => {});
      throw error;
    }
    if (theirs && theirs !== made.id) {
      await made.dispose({ remove: true }).catch(() => {});
      return openOrCreate(session, theirs, attempt + 1);
    }
    ids.set(session.id, made.id);
    return made;
  };

  const close = (sessionId: string, disposeOptions?: { readonly remove?: boolean }): Promise<void> => {
    const entry = entries.get(sessionId);
    entries.delete(sessionId);
    if (entry === undefined) return closing.get(sessionId) ?? Promise.resolve();
    const ended = (async () => {
      entry.use?.stop();
      const sandbox = await entry.sandbox.catch(() => undefined);
      try {
        await sandbox?.dispose(disposeOptions);
      } finally {
        await entry.hold?.release();
      }
      if (disposeOptions?.remove) ids.delete(sessionId);
    })();
    // Who asks for the session meanwhile waits until it is closed.
    const settled = (async () => {
      await Promise.allSettled([ended]);
      closing.delete(sessionId);
    })();
    closing.set(sessionId, settled);
    return ended;
  };

  const watch = (sessionId: string, entry: Entry, sandbox: Sandbox): Sandbox => {
    const expire = (): void => {
      entry.expired = true;
      entry.use?.look();
    };
    const ttl = options.ttlMs === undefined ? undefined : startTimer(expire, options.ttlMs);
    const use = trackUse(sandbox, {
      idleMs: options.idleMs,
      startTimer,
      isExpired: () => entry.expired,
      onIdle: () => void close(sessionId, { remove: entry.expired }).catch(() => {}),
      onStop: () => clearTimeout(ttl),
    });
    entry.use = use;
    return use.sandbox;
  };

  /** Whether somebody else has given the session another sandbox than the one that is open here. */
  const isOutdated = ({ sandboxId }: Session, { use }: Entry): boolean =>
    options.holds !== undefined && sandboxId !== undefined && use !== undefined && use.sandbox.id !== sandboxId;

  /** One that has vanished since it was opened is replaced as one that is not there. */
  const look = async (session: Session, entry: Entry): Promise<Sandbox> => {
    const sandbox = await entry.sandbox;
    if (await isHealthy(sandbox).catch(isGone)) return sandbox;
    if (entries.get(session.id) === entry) await close(session.id).catch(() => {});
    return sessions.getOrCreateSandbox(session);
  };

  const sessions: SandboxSessions<Session> = {
    getOrCreateSandbox(session) {
      const existing = entries.get(session.id);
      if (existing !== undefined && isOutdated(session, existing)) {
        void close(session.id).catch(() => {});
      } else if (existing !== undefined) {
        if (existing.use === undefined) return existing.sandbox;
        existing.use.touch();
        existing.looking ??= look(session, existing).finally(() => (existing.looking = undefined));
        return existing.looking;
      }
      const opening = Promise.withResolvers<Sandbox>();
      const entry: Entry = { sandbox: opening.promise, expired: false };
      entries.set(session.id, entry);
      make(session, entry).then(
        (sandbox) => opening.resolve(watch(session.id, entry, sandbox)),
        (error: unknown) => {
          // A failure is this call's; the next one tries again.
          if (entries.get(session.id) === entry) entries.delete(session.id);
          opening.reject(error);
        },
      );
      return entry.sandbox;
    },
    release: close,
    async dispose() {
      await Promise.allSettled([...entries.keys()].map((sessionId) => close(sessionId)));
    },
  };
  return sessions;
}

/** Answers that it doesn't work; anything but its end is thrown. */
function isGone(error: unknown): false {
  if (SandboxError.is(error) && replaceable.has(error.code)) return false;
  throw error;
}

const replaceable: ReadonlySet<string> = new Set(["sandbox-gone", "not-found", "backend-error"]);

interface Use {
  /** The same sandbox, whose use is noticed. */
  readonly sandbox: Sandbox;
  touch(): void;
  /** Looks whether it is time to let go. */
  look(): void;
  stop(): void;
}

interface UseOptions {
  readonly idleMs: number | undefined;
  startTimer(this: void, onTime: () => void, ms: number): NodeJS.Timeout;
  isExpired(): boolean;
  onIdle(): void;
  onStop(): void;
}

function trackUse(sandbox: Sandbox, options: UseOptions): Use {
  let inUse = 0;
  let usedAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const look = async (): Promise<void> => {
    if (stopped || inUse > 0) return;
    const idle = performance.now() - usedAt;
    const wanted = options.isExpired() ? 0 : options.idleMs;
    if (wanted === undefined) return;
    if (idle < wanted || (await runsInBackground(sandbox))) arm(Math.max(wanted - idle, options.idleMs ?? 1000));
    else if (!stopped && inUse === 0) options.onIdle();
  };
  const arm = (ms: number): void => {
    clearTimeout(timer);
    if (stopped) return;
    timer = options.startTimer(() => {
      timer = undefined;
      void look();
    }, ms);
  };
  const touch = (): void => {
    usedAt = performance.now();
    if (options.isExpired()) arm(0);
    // One that runs already finds at its end that there was use, and how long to wait for the rest.
    else if (timer === undefined && options.idleMs !== undefined) arm(options.idleMs);
  };
  const during = async <T>(operation: () => Promise<T>): Promise<T> => {
    inUse++;
    try {
      return await operation();
    } finally {
      inUse--;
      touch();
    }
  };
  touch();
  return {
    sandbox: {
      id: sandbox.id,
      backend: sandbox.backend,
      capabilities: sandbox.capabilities,
      root: sandbox.root,
      files: filesInUse(sandbox.files, during),
      execute: (command, executeOptions) => during(() => sandbox.execute(command, executeOptions)),
      spawn: (command, spawnOptions) => during(() => sandbox.spawn(command, spawnOptions)),
      processes: () => during(() => sandbox.processes()),
      process: (id) => during(() => sandbox.process(id)),
      dispose: (disposeOptions) => sandbox.dispose(disposeOptions),
    },
    touch,
    look: () => void look(),
    stop() {
      stopped = true;
      clearTimeout(timer);
      options.onStop();
    },
  };
}

/** Closing the sandbox would end it. */
async function runsInBackground(sandbox: Sandbox): Promise<boolean> {
  if (!sandbox.capabilities.backgroundProcesses) return false;
  const processes = await sandbox.processes().catch(() => []);
  return processes.some(({ running }) => running);
}

function filesInUse(files: SandboxFiles, during: <T>(operation: () => Promise<T>) => Promise<T>): SandboxFiles {
  return {
    read: (path, options) => during(() => files.read(path, options)),
    readText: (path, options) => during(() => files.readText(path, options)),
    write: (path, content, options) => during(() => files.write(path, content, options)),
    edit: (path, oldText, newText, options) => during(() => files.edit(path, oldText, newText, options)),
    list: (path) => during(() => files.list(path)),
    glob: (pattern, options) => during(() => files.glob(pattern, options)),
    grep: (text, options) => during(() => files.grep(text, options)),
    exists: (path) => during(() => files.exists(path)),
    remove: (path) => during(() => files.remove(path)),
    upload: (uploads) => during(() => files.upload(uploads)),
    download: (paths) => during(() => files.download(paths)),
    resolve: (path) => files.resolve(path),
  };
}
