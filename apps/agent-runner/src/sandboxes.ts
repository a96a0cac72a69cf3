// From the configuration to sandboxes: the one place that knows what each backend is told.
import type { Config, SandboxConfig } from "@stigmer/config";
import {
  checkSandboxBackend,
  createSandbox,
  removeSandbox,
  removeSandboxesOf,
  type Sandbox,
  type SandboxBackendConfig,
} from "@stigmer/sandbox";

/** Where a session's sandbox is to be. */
export interface SandboxPlace {
  readonly sessionId: string;
  /** On this machine; for backends that have their files elsewhere it means nothing. */
  readonly rootDir: string;
}

/** The sandboxes of one kind that a runner can make. */
export interface Sandboxes {
  readonly type: SandboxBackendConfig["type"];
  /** Whether a directory of this machine, which a person named, can be a session's workspace. */
  readonly takesDirectories: boolean;
  /** Whether something is held under a sandbox's id that nobody finds again without it. */
  readonly holdsById: boolean;
  /** Milliseconds without use after which one is closed, and with `ttlMs` removed. */
  readonly idleMs: number;
  readonly ttlMs?: number;
  /** Makes one, or with an id opens that again, once `check` has found nothing missing. Throws `SandboxError`. */
  open(place: SandboxPlace, sandboxId?: string): Promise<Sandbox>;
  /** Throws `SandboxError` when none can be had. Looks again until it has found that they can. */
  check(): Promise<void>;
  /** Deletes what is held for the session, under this id or one that nobody came to store. No error when that is nothing. */
  remove(sandboxId: string, sessionId: string): Promise<void>;
}

/** All kinds of sandbox that a runner offers to sessions. The first is its own, which they get when they ask for none. */
export type SandboxOffer = readonly [own: Sandboxes, ...others: Sandboxes[]];

const minuteMs = 60_000;

/** Nothing of a kind is loaded or looked for before it is used. */
export function sandboxesOf(config: Config): SandboxOffer {
  const [own, ...others] = config.sandboxConfigs().map((sandbox) => sandboxesOfKind(sandbox, config));
  if (own === undefined) throw new Error("The configuration names no sandbox.");
  return [own, ...others];
}

function sandboxesOfKind(sandbox: SandboxConfig, config: Config): Sandboxes {
  const { idleMinutes, ttlMinutes } = config.sandboxKeeping;
  const backend = backendOf(sandbox, config);
  const isRemote = backend.type === "daytona";
  // Who may change a session could else have its runs work in the sandbox of another one.
  const ownerOf = (sessionId: string): { readonly owner?: string } => (config.isLocalMode ? {} : { owner: sessionId });
  let found: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    found ??= checkSandboxBackend(backend);
    try {
      await found;
    } catch (error) {
      found = undefined;
      throw error;
    }
  };
  return {
    type: backend.type,
    takesDirectories: config.isLocalMode,
    holdsById: backend.type === "docker" || isRemote,
    idleMs: idleMinutes * minuteMs,
    // Another runner may be at work in a remote one: only Daytona knows when nobody is.
    ...(ttlMinutes !== undefined && !isRemote && { ttlMs: ttlMinutes * minuteMs }),
    async open({ sessionId, rootDir }, id) {
      await check();
      return createSandbox(
        backend.type === "daytona"
          ? { ...backend, id, ...ownerOf(sessionId), labels: { "stigmer-session": sessionId } }
          : { ...backend, id, ...ownerOf(sessionId), rootDir },
      );
    },
    check,
    async remove(sandboxId, sessionId) {
      const { owner } = sessionId === "" ? {} : ownerOf(sessionId);
      if (sandboxId !== "") await removeSandbox({ ...backend, owner }, sandboxId);
      if (owner === undefined) return;
      // A session's id is nobody else's, whichever home its runners had.
      await removeSandboxesOf(backend.type === "docker" ? { ...backend, labels: {} } : backend, owner);
    },
  };
}

function backendOf(sandbox: SandboxConfig, config: Config): SandboxBackendConfig {
  switch (sandbox.type) {
    case "filesystem":
      return { type: "filesystem" };
    case "isolated":
      return { type: "isolated", network: sandbox.network };
    case "docker":
      return {
        type: "docker",
        image: sandbox.image,
        pull: sandbox.pull,
        host: sandbox.host,
        network: sandbox.network,
        // Runners of other homes clean up their own.
        labels: { "ai.stigmer.home": config.homes.home },
      };
    case "daytona": {
      const { idleMinutes, ttlMinutes } = config.sandboxKeeping;
      return {
        type: "daytona",
        ...(config.isLocalMode ? {} : config.daytona),
        snapshot: sandbox.snapshotId,
        network: sandbox.network,
        // The next turn may be another runner's, which has opened it before this one is done.
        keepRunning: true,
        autoStopMinutes: idleMinutes,
        ...(ttlMinutes !== undefined && { autoDeleteMinutes: ttlMinutes }),
      };
    }
  }
}
