import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  createSandbox,
  createSandboxSessions,
  SandboxError,
  type Sandbox,
  type SandboxSession,
  type SandboxSessions,
  type SandboxSessionsOptions,
} from "./index.ts";

let directory: string;
let sessions: SandboxSessions<SandboxSession> | undefined;
const stored = new Map<string, string>();
const made: Sandbox[] = [];

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "sandbox-sessions-")));
});

afterEach(async () => {
  await sessions?.dispose();
  sessions = undefined;
  stored.clear();
  made.splice(0);
  await rm(directory, { recursive: true });
});

/** Each new sandbox gets a directory of its own, which its id names. */
function start(options?: Partial<SandboxSessionsOptions<SandboxSession>>): SandboxSessions<SandboxSession> {
  sessions = createSandboxSessions({
    create: async ({ id: session }, id) => {
      const rootDir = id?.slice("filesystem:".length) ?? join(directory, `${session}-${made.length}`);
      if (id !== undefined && !rootDir.startsWith(directory)) {
        throw new SandboxError("sandbox-gone", "There is no such sandbox.");
      }
      const sandbox = await createSandbox({ type: "filesystem", rootDir, id });
      made.push(sandbox);
      return sandbox;
    },
    store: async ({ id }, sandboxId) => void stored.set(id, sandboxId),
    ...options,
  });
  return sessions;
}

const eventually = (condition: () => unknown): Promise<unknown> =>
  vi.waitFor(() => expect(condition()).toBeTruthy(), 10_000);
const isGone = async (sandbox: Sandbox | undefined): Promise<boolean> =>
  (await sandbox?.processes().then(
    () => false,
    (error: SandboxError) => error.code === "sandbox-gone",
  )) ?? false;

test("callers at the same time get one sandbox, whose id is stored once", async () => {
  const store = vi.fn<(session: SandboxSession, id: string) => Promise<void>>(async () => {});
  const { getOrCreateSandbox } = start({ store });
  const sandboxes = await Promise.all(Array.from({ length: 10 }, () => getOrCreateSandbox({ id: "a" })));
  expect(new Set(sandboxes).size).toBe(1);
  expect(made).toHaveLength(1);
  expect(store.mock.calls).toEqual([[{ id: "a" }, sandboxes[0]?.id]]);
  const other = await getOrCreateSandbox({ id: "b" });
  expect(other.id).not.toBe(sandboxes[0]?.id);
});

test("a session comes back to its sandbox and the files in it", async () => {
  await (await start().getOrCreateSandbox({ id: "a" })).files.write("kept", "x");
  await sessions?.dispose();
  const again = await start().getOrCreateSandbox({ id: "a", sandboxId: stored.get("a") });
  expect(await again.files.readText("kept")).toBe("x");
});

describe("a sandbox that is of no use any more", () => {
  test("is replaced by a new one, which is stored", async () => {
    const onReplaced = vi.fn<(session: SandboxSession, reason: unknown) => void>();
    const sandbox = await start({ onReplaced }).getOrCreateSandbox({ id: "a", sandboxId: "filesystem:/elsewhere" });
    expect(stored.get("a")).toBe(sandbox.id);
    expect(onReplaced).toHaveBeenCalledOnce();
  });

  test("is found out by a command, and closed", async () => {
    const { getOrCreateSandbox } = start({
      create: async (_, id) => {
        const sandbox = await createSandbox({ type: "filesystem", rootDir: join(directory, `root-${made.length}`) });
        made.push(sandbox);
        if (id === undefined) return sandbox;
        return { ...sandbox, execute: (command, options) => sandbox.execute(`${command}; exit 1`, options) };
      },
    });
    const sandbox = await getOrCreateSandbox({ id: "a", sandboxId: "some" });
    expect(sandbox.id).toBe(made[1]?.id);
    expect(await isGone(made[0])).toBe(true);
  });

  test("is found out though it is open, and replaced once for all that ask", async () => {
    const onReplaced = vi.fn<(session: SandboxSession, reason: unknown) => void>();
    const gone = new Set<string>();
    const { getOrCreateSandbox } = start({
      onReplaced,
      create: async (_, id) => {
        if (id !== undefined && gone.has(id)) throw new SandboxError("sandbox-gone", "It is gone.");
        const sandbox = await createSandbox({ type: "filesystem", rootDir: join(directory, `root-${made.length}`) });
        made.push(sandbox);
        return {
          ...sandbox,
          execute: async (command, options) => {
            const result = await sandbox.execute(command, options);
            return gone.has(sandbox.id) ? { ...result, exitCode: 126, reason: "sandbox-gone" as const } : result;
          },
        };
      },
    });
    const first = await getOrCreateSandbox({ id: "a" });
    expect(await getOrCreateSandbox({ id: "a" })).toBe(first);
    gone.add(first.id);
    const [second, third] = await Promise.all([getOrCreateSandbox({ id: "a" }), getOrCreateSandbox({ id: "a" })]);
    expect(second).toBe(third);
    expect(second?.id).toBe(made[1]?.id);
    expect(await isGone(made[0])).toBe(true);
    expect(stored.get("a")).toBe(second?.id);
    expect(onReplaced).toHaveBeenCalledOnce();
  });

  test("is not replaced when it is the backend that is missing", async () => {
    const create = async (): Promise<Sandbox> => {
      throw new SandboxError("backend-unavailable", "Install it.");
    };
    await expect(start({ create }).getOrCreateSandbox({ id: "a", sandboxId: "some" })).rejects.toMatchObject({
      code: "backend-unavailable",
    });
  });
});

test("a failure is told, leaves nothing, and the next call tries again", async () => {
  const store = vi
    .fn<(session: SandboxSession, id: string) => Promise<void>>()
    .mockRejectedValueOnce(new Error("no store"));
  const { getOrCreateSandbox } = start({ store });
  const calls = await Promise.allSettled([getOrCreateSandbox({ id: "a" }), getOrCreateSandbox({ id: "a" })]);
  expect(calls.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await isGone(made[0])).toBe(true);
  expect((await getOrCreateSandbox({ id: "a" })).id).toBe(made[1]?.id);
});

test("an idle sandbox is closed, and opened again when it is asked for", async () => {
  const { getOrCreateSandbox } = start({ idleMs: 100 });
  const sandbox = await getOrCreateSandbox({ id: "a" });
  await sandbox.files.write("kept", "x");
  await vi.waitFor(async () => expect(await isGone(made[0])).toBe(true), 10_000);
  const again = await getOrCreateSandbox({ id: "a" });
  expect([again.id, await again.files.readText("kept")]).toEqual([sandbox.id, "x"]);
});

test("a sandbox is not idle while a command runs, or something in the background", async () => {
  const { getOrCreateSandbox } = start({ idleMs: 100 });
  const sandbox = await getOrCreateSandbox({ id: "a" });
  expect(await sandbox.execute("sleep 0.5; echo done")).toMatchObject({ exitCode: 0, stdout: "done\n" });
  const background = await sandbox.spawn("sleep 0.6; exit 3");
  expect((await background.wait()).exitCode).toBe(3);
  expect(made).toHaveLength(1);
});

test("a sandbox that is too old is removed once it is not in use, and the session gets another", async () => {
  const disposed: unknown[] = [];
  const create = async ({ id: session }: SandboxSession): Promise<Sandbox> => {
    const sandbox = await createSandbox({ type: "filesystem", rootDir: join(directory, `${session}-${made.length}`) });
    made.push(sandbox);
    return {
      ...sandbox,
      dispose: (options) => {
        disposed.push(options);
        return sandbox.dispose();
      },
    };
  };
  const { getOrCreateSandbox } = start({ create, ttlMs: 300 });
  const sandbox = await getOrCreateSandbox({ id: "a" });
  expect(await sandbox.execute("sleep 1; echo in use")).toMatchObject({ stdout: "in use\n" });
  await eventually(() => disposed.length > 0);
  expect(disposed).toEqual([{ remove: true }]);
  expect((await getOrCreateSandbox({ id: "a" })).id).not.toBe(sandbox.id);
});

test("a released sandbox is gone, with what runs in it", async () => {
  const { getOrCreateSandbox, release } = start();
  const sandbox = await getOrCreateSandbox({ id: "a" });
  const background = await sandbox.spawn("sleep 1000");
  await release("a");
  expect((await background.wait()).reason).toBe("sandbox-gone");
  await release("a");
  await release("unknown");
  expect((await getOrCreateSandbox({ id: "a" })).id).toBe(sandbox.id);
});

describe("sessions that other processes work on too", () => {
  const granted: string[] = [];
  const asked = new Map<string, () => void>();
  const holds = {
    acquire: async (sessionId: string, letGo: () => void) => {
      granted.push(`holds ${sessionId}`);
      asked.set(sessionId, letGo);
      return { release: async () => void granted.push(`frees ${sessionId}`) };
    },
  };
  beforeEach(() => {
    granted.splice(0);
    asked.clear();
  });

  test("are let go of when another comes, once their sandbox is closed, and held again later", async () => {
    const { getOrCreateSandbox } = start({ holds });
    const first = await getOrCreateSandbox({ id: "a" });
    asked.get("a")?.();
    await eventually(() => granted.length === 2);
    expect(granted).toEqual(["holds a", "frees a"]);
    expect(await isGone(first)).toBe(true);
    const again = await getOrCreateSandbox({ id: "a", sandboxId: first.id });
    expect(again.id).toBe(first.id);
    expect(granted).toEqual(["holds a", "frees a", "holds a"]);
  });

  test("are not held when no sandbox could be had", async () => {
    const store = async (): Promise<void> => {
      throw new Error("the server is away");
    };
    await expect(start({ holds, store }).getOrCreateSandbox({ id: "a" })).rejects.toThrow("the server is away");
    expect(granted).toEqual(["holds a", "frees a"]);
  });

  test("have the sandbox of whoever was first to store it, and no other", async () => {
    const theirs = await createSandbox({ type: "filesystem", rootDir: join(directory, "theirs") });
    const { getOrCreateSandbox } = start({ holds, store: async () => theirs.id });
    expect((await getOrCreateSandbox({ id: "a" })).id).toBe(theirs.id);
    expect(await isGone(made[0])).toBe(true);
  });

  test("are given up when nobody's sandbox can be kept", async () => {
    const { getOrCreateSandbox } = start({ holds, store: async () => "filesystem:/elsewhere" });
    await expect(getOrCreateSandbox({ id: "a" })).rejects.toMatchObject({ code: "backend-error" });
    for (const sandbox of made) expect(await isGone(sandbox)).toBe(true);
    expect(granted).toEqual(["holds a", "frees a"]);
  });

  test("get the sandbox that another has stored meanwhile, rather than the one that is open here", async () => {
    const { getOrCreateSandbox } = start({ holds });
    const mine = await getOrCreateSandbox({ id: "a" });
    const theirs = await createSandbox({ type: "filesystem", rootDir: join(directory, "theirs") });
    expect((await getOrCreateSandbox({ id: "a", sandboxId: theirs.id })).id).toBe(theirs.id);
    expect(await isGone(mine)).toBe(true);
  });
});

test("while a sandbox waits to be idle, nothing is kept of who used it last", async () => {
  const { getOrCreateSandbox } = start({ idleMs: 60_000, ttlMs: 120_000 });
  const callers = new AsyncLocalStorage<object>();
  const use = async (): Promise<WeakRef<object>> => {
    const caller = {};
    await callers.run(caller, async () => (await getOrCreateSandbox({ id: "a" })).files.write("file", "x"));
    return new WeakRef(caller);
  };
  // Whoever opened it, or was the first of all to start a command, is known to what they opened.
  await getOrCreateSandbox({ id: "a" });
  await getOrCreateSandbox({ id: "a" });
  const used = [await use(), await use()];
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  await vi.waitFor(async () => {
    await turn();
    collectGarbage();
    expect(used.filter((caller) => caller.deref() !== undefined).length).toBe(0);
  });
});
