import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createSandbox, type DisposeOptions, SandboxError, type SandboxHolds } from "@stigmer/sandbox";
import { SandboxType, SessionSchema, type Session } from "@stigmer/protos/session/v1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import type { Sandboxes } from "../sandboxes.ts";
import { RunError } from "./run-error.ts";
import { createSessionWorkspaces, type SessionWorkspaces } from "./session-workspaces.ts";

let home: string;
let workspaces: SessionWorkspaces;
const disposed: DisposeOptions[] = [];
const removed: string[] = [];
const warnings: unknown[][] = [];
const logger = { warn: (...words: unknown[]) => void warnings.push(words) } as unknown as Logger;

beforeEach(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), "session-workspaces-")));
  start();
});

afterEach(async () => {
  await workspaces.dispose();
  for (const list of [disposed, removed, warnings]) list.splice(0);
  await rm(home, { recursive: true });
});

/** Real sandboxes of this machine, which tell what is asked of their backend. */
function start(changes: Partial<Sandboxes> = {}, holds?: SandboxHolds, others: Sandboxes[] = []): void {
  workspaces = createSessionWorkspaces({
    holds,
    sandboxes: [sandboxesWith(changes), ...others],
    workspacesDir: join(home, "workspaces"),
    dataDir: join(home, "data"),
    logger,
  });
}

function sandboxesWith(changes: Partial<Sandboxes>): Sandboxes {
  return {
    type: "filesystem",
    takesDirectories: true,
    holdsById: false,
    idleMs: 60_000,
    async open({ rootDir }, id) {
      const sandbox = await createSandbox({ type: "filesystem", rootDir, id });
      return {
        ...sandbox,
        async dispose(options = {}) {
          disposed.push(options);
          await sandbox.dispose(options);
        },
      };
    },
    check: async () => {},
    remove: async (id) => void removed.push(id),
    ...changes,
  };
}

interface Spec {
  readonly sandboxId?: string;
  readonly workspaceDir?: string;
  readonly sandboxType?: SandboxType;
}

function session(spec: Spec = {}, id = "ses-1"): Session {
  return create(SessionSchema, { metadata: { id }, spec });
}

describe("a session's sandbox", () => {
  it("is made once, remembered, and found again by a runner started anew", async () => {
    const remember = vi.fn<(id: string) => Promise<string>>(async (id) => id);
    const [first, second] = await Promise.all([
      workspaces.get(session(), remember),
      workspaces.get(session(), remember),
    ]);
    expect(first.sandbox).toBe(second.sandbox);
    expect(first.sandbox.root).toBe(join(home, "workspaces/ses-1"));
    const spillDirectory = join(home, "data/spill/ses-1");
    expect(first).toMatchObject({ skillsDirectory: "skills", spillDirectory, isNew: true });
    expect(remember.mock.calls).toEqual([[first.sandbox.id, { foundWithout: true }]]);
    await first.sandbox.files.write("kept", "x");
    await workspaces.dispose();

    start();
    const again = await workspaces.get(session({ sandboxId: first.sandbox.id }), remember);
    expect(await again.sandbox.files.readText("kept")).toBe("x");
    expect(again.notice).toBeUndefined();
    expect(again.isNew).toBe(false);
    expect(remember).toHaveBeenCalledOnce();
  });

  it("is not taken for new where what it holds lies elsewhere", async () => {
    const remember = async (id: string): Promise<string> => id;
    start({ holdsById: true });
    expect(await workspaces.get(session(), remember)).toMatchObject({ isNew: false });
    const own = join(home, "own");
    await mkdir(own);
    expect(await workspaces.get(session({ workspaceDir: own }, "ses-2"), remember)).toMatchObject({ isNew: false });
  });

  it("that is gone is replaced, which the agent is told once", async () => {
    const remember = vi.fn<(id: string) => Promise<string>>(async (id) => id);
    const gone = session({ sandboxId: "filesystem:/elsewhere" });
    const first = await workspaces.get(gone, remember);
    expect(first.notice).toContain("the one before is gone");
    expect(remember.mock.calls).toEqual([[first.sandbox.id, { foundWithout: true }]]);
    expect(warnings).toEqual([[expect.objectContaining({ sandboxId: "filesystem:/elsewhere" }), expect.any(String)]]);
    expect(await workspaces.get(gone, remember)).not.toHaveProperty("notice");
  });

  it("that can't be remembered is kept only where it is found again without", async () => {
    const remember = vi.fn<(id: string, options: object) => Promise<string>>(async () => {
      throw new Error("the server is away");
    });
    await workspaces.get(session(), remember);
    expect(warnings).toHaveLength(1);
    await workspaces.dispose();

    start({ holdsById: true });
    disposed.splice(0);
    await expect(workspaces.get(session(), remember)).rejects.toThrow("the server is away");
    expect(disposed).toEqual([{ remove: true }]);
    expect(remember.mock.calls.map(([, told]) => told)).toEqual([{ foundWithout: true }, { foundWithout: false }]);
  });

  it("is removed with what runs in it, also when another runner had it", async () => {
    const { sandbox } = await workspaces.get(session(), async (id) => id);
    const background = await sandbox.spawn("sleep 1000");
    await workspaces.remove({ sessionId: "ses-1", sandboxId: sandbox.id });
    expect((await background.wait()).reason).toBe("sandbox-gone");
    expect(disposed).toEqual([{ remove: true }]);
    await workspaces.remove({ sessionId: "", sandboxId: "known-by-its-id-alone" });
    await workspaces.remove({ sessionId: "ses-2", sandboxId: "" });
    // Of the last one nobody knows an id, and its runner may have died before it could store one.
    expect(removed).toEqual([sandbox.id, "known-by-its-id-alone", ""]);
  });
});

it("asks the runner that has a session's sandbox open to let go of it before that is removed", async () => {
  const events: string[] = [];
  const holds = {
    acquire: async (sessionId: string) => {
      events.push(`hold ${sessionId}`);
      return { release: async () => void events.push("let go") };
    },
  };
  start({ remove: async (id) => void events.push(`remove ${id}`) }, holds);
  await workspaces.remove({ sessionId: "ses-1", sandboxId: "box-1" });
  await workspaces.remove({ sessionId: "", sandboxId: "box-2" });
  expect(events).toEqual(["hold ses-1", "remove box-1", "let go", "remove box-2"]);
  start({ remove: () => Promise.reject(new Error("the engine is away")) }, holds);
  await expect(workspaces.remove({ sessionId: "ses-1", sandboxId: "box-1" })).rejects.toThrow("the engine is away");
  expect(events.at(-1)).toBe("let go");
});

describe("a kind of sandbox that a session was made with", () => {
  const remember = async (id: string): Promise<string> => id;
  const { FILESYSTEM, ISOLATED, DOCKER } = SandboxType;

  /** A second kind, real as well, whose sandboxes tell that they are others. */
  const isolated = (changes: Partial<Sandboxes> = {}): Sandboxes =>
    sandboxesWith({
      type: "isolated",
      open: ({ rootDir }, id) => createSandbox({ type: "filesystem", rootDir, id, env: { KIND: "isolated" } }),
      remove: async (id) => void removed.push(`isolated ${id}`),
      ...changes,
    });

  const kindSeen = async (of: Session): Promise<string> => {
    const { sandbox } = await workspaces.get(of, remember);
    return (await sandbox.execute("echo kind:$KIND")).stdout.trim();
  };

  it("is the one that it gets, beside sessions of other kinds", async () => {
    start({}, undefined, [isolated()]);
    const asking = session({ sandboxType: ISOLATED }, "ses-2");
    expect(await Promise.all([session(), asking, session({ sandboxType: FILESYSTEM }, "ses-3")].map(kindSeen))).toEqual(
      ["kind:", "kind:isolated", "kind:"],
    );
    expect((await workspaces.get(asking, remember)).sandbox).toBe((await workspaces.get(asking, remember)).sandbox);
  });

  it("is refused where it is not offered, and what is offered is told", async () => {
    start({}, undefined, [isolated()]);
    const asked = workspaces.get(session({ sandboxType: DOCKER }), remember);
    await expect(asked).rejects.toThrow(RunError);
    await expect(asked).rejects.toThrow(
      "session ses-1 was made for a sandbox of type docker (spec.sandbox_type), and this runner offers filesystem, isolated: create a session with one of these, or have docker added to SANDBOX_TYPES of the runner",
    );
    await expect(workspaces.get(session({ sandboxType: 99 as SandboxType }), remember)).rejects.toThrow("of type 99");
    start({ type: "docker", takesDirectories: false });
    await expect(workspaces.get(session({ sandboxType: FILESYSTEM }), remember)).rejects.toThrow(
      "and this runner offers docker: create a session with one of these, since no runner in cloud mode has filesystem",
    );
  });

  it("is looked for when it is first asked for, and again until it is there", async () => {
    const check = vi
      .fn<() => Promise<void>>()
      .mockRejectedValueOnce(new SandboxError("backend-unavailable", "bwrap is not installed."))
      .mockResolvedValue();
    start({}, undefined, [isolated({ check })]);
    expect(await kindSeen(session())).toBe("kind:");
    expect(check).not.toHaveBeenCalled();
    const asking = session({ sandboxType: ISOLATED }, "ses-2");
    const asked = workspaces.get(asking, remember);
    await expect(asked).rejects.toThrow(RunError);
    await expect(asked).rejects.toThrow("of type isolated (spec.sandbox_type): bwrap is not installed.");
    expect(await kindSeen(asking)).toBe("kind:isolated");
  });

  it("has its sandbox removed where that is", async () => {
    start({}, undefined, [isolated()]);
    const asking = session({ sandboxType: ISOLATED }, "ses-2");
    const { sandbox } = await workspaces.get(asking, remember);
    const background = await sandbox.spawn("sleep 1000");
    await workspaces.remove({ sessionId: "ses-2", sandboxId: sandbox.id, sandboxType: ISOLATED });
    expect((await background.wait()).reason).toBe("sandbox-gone");
    // One that was made when its runner was set up otherwise, or by a workflow that knows the id alone.
    await workspaces.remove({ sessionId: "", sandboxId: "isolated:/elsewhere" });
    expect(removed).toEqual([`isolated ${sandbox.id}`, "isolated:/elsewhere", "isolated isolated:/elsewhere"]);
    await workspaces.remove({ sessionId: "ses-3", sandboxId: "docker:1", sandboxType: DOCKER });
    expect(warnings).toEqual([[expect.anything(), expect.stringContaining("stays")]]);
  });
});

describe("a directory that a person named", () => {
  it("is the workspace, with the skills out of the way", async () => {
    await mkdir(join(home, "mine"));
    const workspace = await workspaces.get(session({ workspaceDir: join(home, "mine") }), async (id) => id);
    expect(workspace.sandbox.root).toBe(join(home, "mine"));
    expect(workspace.skillsDirectory).toBe(".stigmer/skills");
  });

  it("has to be one", async () => {
    const asked = workspaces.get(session({ workspaceDir: join(home, "none") }), async (id) => id);
    await expect(asked).rejects.toThrow(RunError);
    await expect(asked).rejects.toThrow("is not a directory on this machine");
  });

  it("is refused where the sandbox can't reach it", async () => {
    start({ type: "daytona", takesDirectories: false });
    const asked = workspaces.get(session({ workspaceDir: home }), async (id) => id);
    await expect(asked).rejects.toThrow(RunError);
    await expect(asked).rejects.toThrow("which a daytona sandbox of a runner in cloud mode can't reach");
  });
});
