import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createSandbox, type DisposeOptions, type SandboxHolds } from "@stigmer/sandbox";
import { SessionSchema, type Session } from "@stigmer/protos/session/v1";
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
function start(changes: Partial<Sandboxes> = {}, holds?: SandboxHolds): void {
  workspaces = createSessionWorkspaces({
    holds,
    sandboxes: {
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
    },
    workspacesDir: join(home, "workspaces"),
    dataDir: join(home, "data"),
    logger,
  });
}

function session(spec: { sandboxId?: string; workspaceDir?: string } = {}): Session {
  return create(SessionSchema, { metadata: { id: "ses-1" }, spec });
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
    expect(first).toMatchObject({ skillsDirectory: "skills", spillDirectory: join(home, "data/spill/ses-1") });
    expect(remember.mock.calls).toEqual([[first.sandbox.id]]);
    await first.sandbox.files.write("kept", "x");
    await workspaces.dispose();

    start();
    const again = await workspaces.get(session({ sandboxId: first.sandbox.id }), remember);
    expect(await again.sandbox.files.readText("kept")).toBe("x");
    expect(again.notice).toBeUndefined();
    expect(remember).toHaveBeenCalledOnce();
  });

  it("that is gone is replaced, which the agent is told once", async () => {
    const remember = vi.fn<(id: string) => Promise<string>>(async (id) => id);
    const gone = session({ sandboxId: "filesystem:/elsewhere" });
    const first = await workspaces.get(gone, remember);
    expect(first.notice).toContain("the one before is gone");
    expect(remember.mock.calls).toEqual([[first.sandbox.id]]);
    expect(warnings).toEqual([[expect.objectContaining({ sandboxId: "filesystem:/elsewhere" }), expect.any(String)]]);
    expect(await workspaces.get(gone, remember)).not.toHaveProperty("notice");
  });

  it("that can't be remembered is kept only where it is found again without", async () => {
    const remember = async (): Promise<string> => {
      throw new Error("the server is away");
    };
    await workspaces.get(session(), remember);
    expect(warnings).toHaveLength(1);
    await workspaces.dispose();

    start({ holdsById: true });
    disposed.splice(0);
    await expect(workspaces.get(session(), remember)).rejects.toThrow("the server is away");
    expect(disposed).toEqual([{ remove: true }]);
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
