// What a service over a network does wrong, and what the driver makes of it.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../sandbox.ts";
import { apiKey, startDaytonaServer, type DaytonaServer } from "./__fixtures__/daytona-server.ts";
import {
  checkDaytonaBackend,
  createDaytonaSandbox,
  removeDaytonaSandbox,
  removeDaytonaSandboxesOf,
  type DaytonaSandboxOptions,
} from "./index.ts";

const execute = /process\/execute$/;
const create = /^POST \/api\/sandbox$/;

let directory: string;
let server: DaytonaServer;
let made = 0;
const opened: Sandbox[] = [];

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "daytona-failures-")));
  server = await startDaytonaServer();
});

afterEach(async () => {
  server.heal();
  server.startMs = 0;
  server.ignoresNetwork = false;
  server.programs = "";
  for (const sandbox of opened.splice(0)) await sandbox.dispose().catch(() => {});
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

async function open(options: Partial<DaytonaSandboxOptions> = {}): Promise<Sandbox> {
  const rootDir = join(directory, `root-${made++}`);
  const sandbox = await createDaytonaSandbox({ apiKey, apiUrl: server.apiUrl, target: "local", rootDir, ...options });
  opened.push(sandbox);
  return sandbox;
}

const requestsTo = (line: RegExp): number => server.requests.filter((request) => line.test(request.line)).length;

/** The body of the last request to make a sandbox. */
const asked = (): Record<string, unknown> =>
  JSON.parse(server.requests.findLast(({ line }) => create.test(line))?.body ?? "") as Record<string, unknown>;

describe("making a sandbox", () => {
  test("asks for what the options say", async () => {
    await open({ snapshot: "tools", labels: { session: "s1" }, autoStopMinutes: 10, autoDeleteMinutes: -1 });
    expect(asked()).toMatchObject({
      snapshot: "tools",
      labels: { session: "s1" },
      autoStopInterval: 10,
      autoDeleteInterval: -1,
      target: "local",
    });
    expect(asked()).not.toHaveProperty("networkBlockAll");
  });

  test("waits for a slow one", async () => {
    server.startMs = 1500;
    const sandbox = await open();
    expect(await sandbox.execute("echo up")).toMatchObject({ stdout: "up\n" });
  });

  test("gives up on one that does not start, and removes it", async () => {
    server.startMs = 600_000;
    const before = server.sandboxes.size;
    await expect(open({ startTimeoutMs: 1000 })).rejects.toMatchObject({ code: "backend-unavailable" });
    expect(server.sandboxes.size).toBe(before);
  });

  test("gives up on a silent server", async () => {
    server.fail({ on: create, fault: "silence" });
    const making = open({ startTimeoutMs: 300, requestTimeoutMs: 300 });
    await expect(making).rejects.toMatchObject({ code: "backend-unavailable" });
  });

  test("waits as long as a rate limit asks for, and goes on", async () => {
    server.fail({ on: create, fault: { status: 429, headers: { "retry-after": "1" } }, times: 1 });
    const begun = performance.now();
    const before = requestsTo(create);
    await open();
    expect(performance.now() - begun).toBeGreaterThan(990);
    expect(requestsTo(create) - before).toBe(2);
  });

  test("does not wait for hours", async () => {
    server.fail({ on: create, fault: { status: 429, headers: { "retry-after": "3600" } } });
    const before = requestsTo(create);
    await expect(open()).rejects.toMatchObject({
      code: "backend-unavailable",
      message: expect.stringContaining("rate limit"),
    });
    expect(requestsTo(create) - before).toBe(1);
  });

  test("does not make another one when it can't know whether the first was made, and removes that", async () => {
    server.fail({ on: create, fault: "half", times: 1 });
    const before = { made: requestsTo(create), there: server.sandboxes.size };
    await expect(open()).rejects.toMatchObject({ code: "backend-unavailable" });
    expect(requestsTo(create) - before.made).toBe(1);
    expect(server.sandboxes.size).toBe(before.there);
  });

  test.each([
    [{ status: 401 }, "permission", "API key"],
    [{ status: 403, message: "Forbidden" }, "permission", "right"],
    [{ status: 403, message: "Total CPU quota exceeded (8 > 4)" }, "backend-unavailable", "quota"],
    [{ status: 402, message: "Payment required" }, "backend-unavailable", "quota"],
    [{ status: 400, message: "Snapshot nope not found" }, "invalid-argument", "snapshot"],
    [{ status: 503 }, "backend-unavailable", "503"],
  ] as const)("explains %j", async (fault, code, words) => {
    server.fail({ on: create, fault });
    const before = requestsTo(create);
    await expect(open()).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
    expect(requestsTo(create) - before).toBe(1);
  });

  test("tells a wrong key, and never shows it", async () => {
    const making = open({ apiKey: "wrong-canary" });
    await expect(making).rejects.toMatchObject({
      code: "permission",
      message: expect.not.stringContaining("canary"),
    });
  });

  test("tells a root that can't be made, and leaves no sandbox behind", async () => {
    const before = server.sandboxes.size;
    await expect(open({ rootDir: "/proc/workspace" })).rejects.toMatchObject({ code: "not-found" });
    await expect(open({ rootDir: "workspace" })).rejects.toMatchObject({ code: "invalid-argument" });
    expect(server.sandboxes.size).toBe(before);
  });

  test("tells what a snapshot lacks", async () => {
    server.programs = join(directory, "programs");
    await mkdir(server.programs);
    // As busybox's find does, which has no -printf.
    await writeFile(join(server.programs, "find"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    await expect(open()).rejects.toMatchObject({
      code: "backend-unavailable",
      message: expect.stringContaining("findutils"),
    });
  });

  test("asks Daytona for the network policy", async () => {
    await open({ network: { type: "off" } });
    expect(asked()).toMatchObject({ networkBlockAll: true });
    await open({ network: { type: "allow-list", domains: ["example.com", "*.example.org"] } });
    expect(asked()).toMatchObject({ domainAllowList: "example.com,*.example.org" });
    await open({ network: { type: "allow-list", domains: [] } });
    expect(asked()).toMatchObject({ networkBlockAll: true });
  });

  test("refuses an installation that passes over the network policy", async () => {
    server.ignoresNetwork = true;
    const before = server.sandboxes.size;
    await expect(open({ network: { type: "off" } })).rejects.toMatchObject({ code: "unsupported" });
    expect(server.sandboxes.size).toBe(before);
  });
});

describe("without a sandbox at hand", () => {
  test("Daytona and the key are tried, and nothing is made", async () => {
    const options = { apiUrl: server.apiUrl, target: "local", retryDelayMs: 10 };
    const before = server.sandboxes.size;
    await checkDaytonaBackend({ ...options, apiKey });
    await expect(checkDaytonaBackend({ ...options, apiKey: "wrong-canary" })).rejects.toMatchObject({
      code: "permission",
      message: expect.not.stringContaining("canary"),
    });
    server.fail({ on: /^GET \/api\/sandbox$/, fault: { status: 503 } });
    await expect(checkDaytonaBackend({ ...options, apiKey })).rejects.toMatchObject({ code: "backend-unavailable" });
    expect(server.sandboxes.size).toBe(before);
  });

  test("one is removed by its id, asleep or not, and none is no error", async () => {
    const options = { apiKey, apiUrl: server.apiUrl, target: "local" };
    const sandbox = await open();
    await sandbox.dispose();
    expect(server.sandboxes.get(sandbox.id)?.state).toBe("stopped");
    await removeDaytonaSandbox(options, sandbox.id);
    expect(server.sandboxes.has(sandbox.id)).toBe(false);
    await removeDaytonaSandbox(options, sandbox.id);
    await removeDaytonaSandbox(options, "../snapshots");
  });
});

describe("opening a sandbox by its id", () => {
  test("finds one that its maker was told to leave running", async () => {
    const { dispose, id, root } = await open({ keepRunning: true });
    await dispose();
    expect(server.sandboxes.get(id)?.state).toBe("started");
    await (await open({ id, rootDir: root, keepRunning: true })).dispose({ remove: true });
    expect(server.sandboxes.has(id)).toBe(false);
  });

  test("removes all of an owner's, and nobody else's", async () => {
    const [one, two, other] = [
      await open({ owner: "ses-1" }),
      await open({ owner: "ses-1" }),
      await open({ owner: "ses-2" }),
    ];
    await removeDaytonaSandboxesOf({ apiKey, apiUrl: server.apiUrl, target: "local" }, "ses-1");
    expect([one, two, other].map(({ id }) => server.sandboxes.has(id))).toEqual([false, false, true]);
    await other.dispose({ remove: true });
  });

  test("opens and removes one for its owner alone", async () => {
    const { id } = await open({ owner: "ses-1" });
    await expect(open({ id, owner: "ses-2" })).rejects.toMatchObject({ code: "sandbox-gone" });
    await removeDaytonaSandbox({ apiKey, apiUrl: server.apiUrl, target: "local", owner: "ses-2" }, id);
    expect(server.sandboxes.has(id)).toBe(true);
    expect((await open({ id, owner: "ses-1" })).id).toBe(id);
    await removeDaytonaSandbox({ apiKey, apiUrl: server.apiUrl, target: "local", owner: "ses-1" }, id);
    expect(server.sandboxes.has(id)).toBe(false);
  });

  test("starts one that has been archived, with its files", async () => {
    const rootDir = join(directory, "archived");
    const sandbox = await open({ rootDir, owner: "ses-1", keepRunning: true });
    await sandbox.files.write("kept", "x");
    await sandbox.dispose();
    const archived = server.sandboxes.get(sandbox.id);
    if (archived === undefined) throw new Error("There is nothing to archive.");
    archived.state = "archived";
    const again = await open({ id: sandbox.id, rootDir, owner: "ses-1" });
    expect(await again.files.readText("kept")).toBe("x");
    expect(archived.state).toBe("started");
  });

  test("starts one that has stopped, leaves it running, and removes it when asked to", async () => {
    const first = await open();
    await first.files.write("kept", "x");
    const { id, root } = first;
    await first.dispose();
    expect(server.sandboxes.get(id)?.state).toBe("stopped");

    const second = await open({ id, rootDir: root });
    expect(await second.files.readText("kept")).toBe("x");
    await second.dispose();
    expect(server.sandboxes.get(id)?.state).toBe("started");

    const third = await open({ id, rootDir: root });
    await third.dispose({ remove: true });
    await third.dispose();
    expect(server.sandboxes.has(id)).toBe(false);
    await expect(open({ id })).rejects.toMatchObject({ code: "sandbox-gone" });
  });

  test("tells one that is gone, or never was", async () => {
    await expect(open({ id: "none" })).rejects.toMatchObject({ code: "sandbox-gone" });
    await expect(open({ id: "../snapshots" })).rejects.toMatchObject({ code: "sandbox-gone" });
    server.fail({ on: /^GET \/api\/sandbox\/old$/, fault: { status: 410 } });
    await expect(open({ id: "old" })).rejects.toMatchObject({ code: "sandbox-gone" });
  });
});

describe("running a command", () => {
  test.each(["reset", "half", { status: 502 }, { status: 429, headers: { "retry-after": "0" } }] as const)(
    "once, though its first request ends with %j",
    async (fault) => {
      const sandbox = await open();
      server.fail({ on: execute, fault, times: 1 });
      const result = await sandbox.execute("echo . >> runs; seq 1 5; exit 3");
      expect(result).toMatchObject({ exitCode: 3, stdout: "1\n2\n3\n4\n5\n" });
      expect(await sandbox.files.readText("runs")).toBe(".\n");
    },
  );

  test("hears all of what it prints, though every other answer is lost", async () => {
    const sandbox = await open();
    const running = sandbox.execute("for i in 1 2 3 4 5; do echo $i; echo e$i >&2; sleep 0.3; done");
    for (const after of [1, 3, 5]) server.fail({ on: execute, fault: "half", times: 1, after });
    expect(await running).toMatchObject({ exitCode: 0, stdout: "1\n2\n3\n4\n5\n", stderr: "e1\ne2\ne3\ne4\ne5\n" });
  });

  test("keeps its time-out though the server is silent", async () => {
    const sandbox = await open({ giveUpMs: 400 });
    server.fail({ on: execute, fault: "silence" });
    const begun = performance.now();
    const [late, aborted] = await Promise.all([
      sandbox.execute("echo never", { timeoutMs: 300 }),
      sandbox.execute("echo never", { signal: AbortSignal.timeout(200) }),
    ]);
    expect(late).toMatchObject({ exitCode: 124, reason: "timeout" });
    expect(aborted).toMatchObject({ exitCode: 137, reason: "aborted" });
    const took = performance.now() - begun;
    expect(took).toBeGreaterThan(690);
    // A request itself would be waited for over 20 s.
    expect(took).toBeLessThan(10_000);
  });

  test.each([execute, /bulk-upload$/])("files give up on a server that is silent on %s", async (on) => {
    const sandbox = await open({ requestTimeoutMs: 500 });
    await sandbox.files.write("large", "x".repeat(300_000));
    server.fail({ on, fault: "silence" });
    const using = async (): Promise<void> => {
      await sandbox.files.read("large");
      await sandbox.files.write("large", "y".repeat(300_000));
    };
    await expect(using()).rejects.toMatchObject({
      code: "backend-unavailable",
      message: expect.stringContaining("did not answer"),
    });
  });

  test("is a result when the server can't be reached any more", async () => {
    const sandbox = await open({ retryDelayMs: 10 });
    server.fail({ on: execute, fault: { status: 502, message: "no upstream" } });
    const before = requestsTo(execute);
    expect(await sandbox.execute("echo never")).toMatchObject({
      exitCode: 126,
      reason: "backend-error",
      stderr: expect.stringContaining("no upstream"),
    });
    expect(requestsTo(execute) - before).toBeGreaterThanOrEqual(5);
    await expect(sandbox.files.read("x")).rejects.toMatchObject({ code: "backend-unavailable" });
  });

  test("is a result when its input can't be brought", async () => {
    const sandbox = await open({ retryDelayMs: 10 });
    server.fail({ on: /bulk-upload$/, fault: { status: 507, message: "no room" } });
    expect(await sandbox.execute("cat", { stdin: "x".repeat(300_000) })).toMatchObject({
      exitCode: 126,
      reason: "backend-error",
      stderr: expect.stringContaining("no room"),
    });
  });

  test("tells that the sandbox vanished, before it and under it", async () => {
    const sandbox = await open();
    const spawned = await sandbox.spawn("sleep 60");
    const running = sandbox.execute("echo begun; sleep 60", {
      onStdout: () => server.deleteSandbox(sandbox.id),
    });
    const result = await running;
    expect(result).toMatchObject({ exitCode: 126, reason: "sandbox-gone", stdout: "begun\n" });
    expect(await spawned.wait()).toMatchObject({ reason: "sandbox-gone" });
    expect(await sandbox.execute("true")).toMatchObject({ reason: "sandbox-gone" });
    await expect(sandbox.files.read("x")).rejects.toMatchObject({ code: "sandbox-gone" });
    await sandbox.dispose();
  });

  test("starts a sandbox again that its own timer has stopped", async () => {
    const sandbox = await open();
    const process = await sandbox.spawn("sleep 60");
    await server.stopSandbox(sandbox.id);
    expect(await sandbox.execute("echo again")).toMatchObject({ exitCode: 0, stdout: "again\n" });
    expect(server.sandboxes.get(sandbox.id)?.state).toBe("started");
    expect(await process.wait()).toMatchObject({ reason: "sandbox-gone" });
  });

  test("has output without an end, NUL and a marker of Daytona's own as they are", async () => {
    const sandbox = await open();
    const { stdout } = await sandbox.execute("printf 'a\\000b\\001\\001\\001c'");
    expect(stdout).toBe("a\0b\u0001\u0001\u0001c");
  });

  test("keeps the end of a flood also while a background child holds the pipe", async () => {
    const sandbox = await open();
    const command = "sleep 30 & seq 1 3000000; printf end";
    const { stdout, truncated } = await sandbox.execute(command, { maxOutputBytes: 1000 });
    expect(truncated).toBe(true);
    expect(stdout).toMatch(/^1\n2\n[^]*\n2999999\n3000000\nend$/);
    expect(Number(/\[\.\.\. (\d+) bytes/.exec(stdout)?.[1])).toBe(22_888_899 - 1000);
    const [left] = await sandbox.processes();
    expect((await left?.output())?.stdout).toBe("");
  });

  test("leaves nothing in the sandbox but what it wrote", async () => {
    const sandbox = await open();
    await sandbox.execute("cat > copy", { stdin: "x".repeat(300_000) });
    await sandbox.files.read("copy");
    const own = server.requests.findLast(({ line }) => line.includes(sandbox.id));
    const [base = ""] = /\/tmp\/\.sandbox-[0-9a-f-]+/.exec(own?.body ?? "") ?? [];
    expect(await readdir(base)).not.toEqual([]);
    await sandbox.dispose();
    await expect(readdir(base)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await readdir(sandbox.root)).toEqual(["copy"]);
  });
});

describe("files", () => {
  test("travel as one batch", async () => {
    const sandbox = await open();
    const large = (letter: string): string => letter.repeat(300_000);
    const uploads = (): number => requestsTo(/bulk-upload$/);
    const before = { uploads: uploads(), downloads: requestsTo(/bulk-download$/) };
    await sandbox.files.upload(["a", "b", "c"].map((path) => ({ path, content: large(path) })));
    expect(uploads() - before.uploads).toBe(1);
    const contents = await sandbox.files.download(["c", "a"]);
    expect(contents.map((content) => Buffer.from(content).toString())).toEqual([large("c"), large("a")]);
    expect(requestsTo(/bulk-download$/) - before.downloads).toBe(1);
  });

  test.each(["reset", "half", { status: 503 }] as const)("are written and read again after %j", async (fault) => {
    const sandbox = await open();
    for (const on of [execute, /bulk-upload$/, /bulk-download$/]) server.fail({ on, fault, times: 1 });
    const content = "ü".repeat(300_000);
    await sandbox.files.write("large", content);
    expect(await sandbox.files.readText("large")).toBe(content);
    expect(await sandbox.files.edit("large", content, "small")).toEqual({ occurrences: 1 });
    expect(await sandbox.files.readText("large")).toBe("small");
  });
});

test("loads the SDK when it is used, and lets the process end", async () => {
  const script = `
    import { registerHooks } from "node:module";
    let loaded = 0;
    registerHooks({ load(url, context, next) { if (url.includes("@daytonaio")) loaded++; return next(url, context); } });
    const { createSandbox } = await import("@stigmer/sandbox");
    await import("@stigmer/sandbox/daytona");
    const before = loaded;
    const options = ${JSON.stringify({ type: "daytona", apiKey, apiUrl: server.apiUrl, target: "local", rootDir: join(directory, "child") })};
    const sandbox = await createSandbox(options);
    const { stdout } = await sandbox.execute("sleep 30 & echo hello");
    await sandbox.dispose();
    console.log(JSON.stringify({ before, after: loaded > 0, stdout }));`;
  const args = ["--conditions=@stigmer/source", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname, timeout: 25_000 });
  expect(JSON.parse(stdout)).toEqual({ before: 0, after: true, stdout: "hello\n" });
});
