// What the suite for all backends can't ask: what commands can't do here, and what becomes of containers.
import { execFile } from "node:child_process";
import { chown, mkdir, mkdtemp, readdir, realpath, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { removeSandboxesOf, SandboxError, type Sandbox } from "../index.ts";
import { testEngine } from "./__fixtures__/test-engine.ts";
import { removeOrphans } from "./container.ts";
import { createEngine } from "./engine.ts";
import { createDockerSandbox, type DockerSandboxOptions } from "./index.ts";

const { host, image } = testEngine();
const engine = createEngine(host.slice("unix://".length));
const containerOf = ({ id }: { readonly id: string }): string => id.slice("docker:".length);
const isRoot = process.geteuid?.() === 0;
let directory: string;
const opened: Sandbox[] = [];

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "docker-container-")));
});

afterAll(async () => {
  for (const sandbox of opened) await sandbox.dispose({ remove: true });
  await rm(directory, { recursive: true });
});

let made = 0;

async function open(options: Partial<DockerSandboxOptions> = {}): Promise<Sandbox> {
  const rootDir = join(directory, `root-${made++}`);
  const sandbox = await createDockerSandbox({ host, image, pull: "never", rootDir, ...options });
  opened.push(sandbox);
  return sandbox;
}

async function inspect(sandbox: Sandbox): Promise<Inspected | undefined> {
  try {
    return (await engine.call("GET", `/containers/${containerOf(sandbox)}/json`)) as Inspected;
  } catch {
    return undefined;
  }
}

interface Inspected {
  readonly State: { readonly Running: boolean };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
}

async function errorOf(promise: Promise<unknown>): Promise<SandboxError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!SandboxError.is(error)) throw new Error(`Expected a SandboxError, got ${String(error)}`);
  return error;
}

test("commands have no rights, no network, and nothing to write to but the workspace and /tmp", async () => {
  const sandbox = await open();
  const { stdout: who } = await sandbox.execute(
    "id -u; grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status",
  );
  const [uid, ...status] = who.trim().split("\n");
  expect(Number(uid)).toBeGreaterThan(0);
  const nothing = "\t0000000000000000";
  expect(status).toEqual([
    `CapPrm:${nothing}`,
    `CapEff:${nothing}`,
    `CapAmb:${nothing}`,
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
  ]);

  expect((await sandbox.execute("ls /sys/class/net")).stdout).toBe("lo\n");
  expect((await sandbox.execute("nc -w 5 1.1.1.1 80 </dev/null")).stderr).toContain("Network is unreachable");

  for (const place of ["/x", "/etc/x", "/bin/x", "/sys/fs/cgroup/x", "/proc/sys/kernel/x"]) {
    expect((await sandbox.execute(`: > ${place}`)).exitCode, place).not.toBe(0);
  }
  expect((await sandbox.execute(": > /workspace/x && : > /tmp/x")).exitCode).toBe(0);
  for (const command of ["mount -t tmpfs none /tmp", "chown 0 /workspace/x", "kill -9 1", "unshare -r true"]) {
    expect((await sandbox.execute(command)).exitCode, command).not.toBe(0);
  }
  expect((await sandbox.execute("echo still here")).stdout).toBe("still here\n");
});

test("the network is there when it is asked for", async () => {
  const sandbox = await open({ network: { type: "full" } });
  expect((await sandbox.execute("ls /sys/class/net")).stdout.split("\n")).toContain("eth0");
  const gateway = "ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'";
  // Refused is an answer, too; without a network there is none.
  const { stderr } = await sandbox.execute(`nc -w 5 $(${gateway}) 4 </dev/null`);
  expect(stderr).toContain("Connection refused");
});

test("commands can't touch the process that ends them, and see no other container's", async () => {
  const [sandbox, other] = [await open(), await open()];
  await other.spawn("sleep 4711");
  expect((await sandbox.execute("ps | grep -v grep | grep -c 4711")).stdout).toBe("0\n");
  const before = await inspect(sandbox);
  const attack = "for p in /proc/[0-9]*; do kill -9 ${p#/proc/} 2>/dev/null; done; sleep 60";
  const results = await Promise.all([
    sandbox.execute(attack, { timeoutMs: 1500 }),
    sandbox.execute("kill -9 -1; sleep 60", { timeoutMs: 1500 }),
  ]);
  for (const { exitCode } of results) expect([124, 137]).toContain(exitCode);
  expect((await sandbox.execute("echo fine")).stdout).toBe("fine\n");
  // It was the same main process all the time.
  expect((await inspect(sandbox))?.State).toEqual(before?.State);
});

test("an environment is told to nobody but its command", async () => {
  const secret = "hunter2-4711";
  const sandbox = await open({ env: { TOKEN: secret } });
  const running = sandbox.execute('echo "$TOKEN $MORE"; sleep 2', { env: { MORE: "more-4711" } });
  await vi.waitFor(async () => {
    const told = (await engine.call("GET", `/containers/${containerOf(sandbox)}/json`)) as { ExecIDs?: string[] };
    const execs = await Promise.all((told.ExecIDs ?? []).map((exec) => engine.call("GET", `/exec/${exec}/json`)));
    expect(execs.length).toBeGreaterThan(0);
    expect(JSON.stringify([told, execs])).not.toContain("4711");
  });
  expect((await running).stdout).toBe(`${secret} more-4711\n`);
});

test("too little memory is told as such", async () => {
  const sandbox = await open({ limits: { memoryBytes: 64 * 1024 * 1024 } });
  const result = await sandbox.execute("tail -n 1 /dev/zero", { timeoutMs: 60_000 });
  expect([result.exitCode, result.reason]).toEqual([137, "out-of-memory"]);
  expect((await sandbox.execute("exit 137")).reason).toBe("killed");
});

test("files belong to who runs commands, whoever made them", async () => {
  const sandbox = await open();
  await sandbox.files.write("made/by/host", "1");
  const { stdout, stderr } = await sandbox.execute("echo 2 >> made/by/host && : > made/by/command && cat made/by/host");
  expect([stdout, stderr]).toEqual(["12\n", ""]);
  await sandbox.files.edit("made/by/host", "12", "34");
  expect((await sandbox.execute("echo 5 >> made/by/host; cat made/by/host")).stdout).toBe("34\n5\n");
});

test.runIf(isRoot)("commands of root run as the owner of the directory, or who is named", async () => {
  const rootDir = join(directory, "owned");
  await mkdir(rootDir);
  const error = await errorOf(open({ rootDir }));
  expect([error.code, error.message]).toEqual(["permission", expect.stringContaining("belongs to root")]);
  expect((await (await open({ rootDir, user: "0:0" })).execute("id -u")).stdout).toBe("0\n");
  await chown(rootDir, 4711, 4712);
  expect((await (await open({ rootDir })).execute("id -u; id -g")).stdout).toBe("4711\n4712\n");
});

test.runIf(isRoot)("a directory that a process of before did not come to give away is begun anew", async () => {
  const folder = await mkdtemp(join(directory, "begun-"));
  const rootDir = join(folder, "root");
  await mkdir(`${rootDir}.new`);
  const both = await Promise.all([open({ rootDir }), open({ rootDir })]);
  for (const sandbox of both) expect((await sandbox.execute("id -u")).stdout).not.toBe("0\n");
  expect((await stat(rootDir)).uid).not.toBe(0);
  expect(await readdir(folder)).toEqual(["root"]);
});

test.runIf(!isRoot)("commands of anyone else run as they are", async () => {
  expect((await (await open()).execute("id -u")).stdout).toBe(`${process.geteuid?.()}\n`);
});

test("a disposed sandbox costs a stopped container, and a removed one nothing but its directory", async () => {
  const rootDir = join(directory, "kept");
  const sandbox = await open({ rootDir, labels: { team: "blue" } });
  expect((await inspect(sandbox))?.Config.Labels["team"]).toBe("blue");
  await sandbox.files.write("file", "kept");
  await sandbox.dispose();
  expect((await inspect(sandbox))?.State.Running).toBe(false);
  await sandbox.dispose({ remove: true });
  expect(await inspect(sandbox)).toBeUndefined();
  expect(await readdir(rootDir)).toEqual(["file"]);
  expect((await errorOf(open({ rootDir, id: sandbox.id }))).code).toBe("sandbox-gone");
});

test("opened again it must be asked for what it is", async () => {
  const rootDir = join(directory, "again");
  const limits = { processes: 100 };
  const sandbox = await open({ rootDir, limits });
  await sandbox.dispose();
  const { id } = sandbox;
  expect((await errorOf(open({ rootDir, id, limits: { processes: 200 } }))).code).toBe("invalid-argument");
  expect((await errorOf(open({ rootDir, id, network: { type: "full" } }))).code).toBe("invalid-argument");
  expect((await errorOf(open({ rootDir: join(directory, "elsewhere"), id }))).code).toBe("sandbox-gone");
  expect((await (await open({ rootDir, id, limits })).execute("echo here")).stdout).toBe("here\n");
});

test("a container that is removed behind its back is a sandbox that is gone", async () => {
  const sandbox = await open();
  const process = await sandbox.spawn("echo up; sleep 60");
  const running = sandbox.execute("sleep 60");
  await vi.waitFor(async () => expect((await process.output()).stdout).toBe("up\n"));
  await engine.call("DELETE", `/containers/${containerOf(sandbox)}?force=1`);
  expect([(await running).reason, (await process.wait()).reason]).toEqual(["sandbox-gone", "sandbox-gone"]);
  const { exitCode, reason } = await sandbox.execute("true");
  expect([exitCode, reason]).toEqual([126, "sandbox-gone"]);
  await sandbox.dispose({ remove: true });
});

test("a container that is stopped behind its back is started for the next command", async () => {
  const sandbox = await open();
  const running = sandbox.execute("sleep 60");
  await vi.waitFor(async () => expect((await sandbox.execute("ps")).stdout).toContain("sleep 60"));
  await engine.call("POST", `/containers/${containerOf(sandbox)}/kill`);
  expect((await running).reason).toBe("killed");
  expect((await sandbox.execute("echo up again")).stdout).toBe("up again\n");
});

test("a container ends with the process that holds it", async () => {
  const rootDir = join(directory, "held");
  const script = `
    import { createDockerSandbox } from "@stigmer/sandbox/docker";
    const sandbox = await createDockerSandbox(${JSON.stringify({ host, image, rootDir })});
    await sandbox.execute("setsid sh -c 'while :; do echo . >> beat; sleep 0.05; done' >/dev/null 2>&1 &");
    console.log(sandbox.id);
    process.kill(process.pid, "SIGKILL");`;
  const args = ["--conditions=@stigmer/source", "--input-type=module", "--eval", script];
  const ended = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname }).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  const id = ended.stdout.trim();
  expect(id, ended.stderr).toMatch(/^docker:/);
  await vi.waitFor(
    async () => {
      const { State } = (await engine.call("GET", `/containers/${containerOf({ id })}/json`)) as Inspected;
      expect(State.Running).toBe(false);
    },
    { timeout: 20_000 },
  );
  const { size } = await stat(join(rootDir, "beat"));
  const again = await open({ rootDir, id });
  expect((await again.execute("sleep 0.3; wc -c < beat")).stdout.trim()).toBe(String(size));
});

test("orphans are removed, and what is held, was used of late or is others' stays", async () => {
  const labels = { orphans: "of-this-test" };
  const [held, kept, others] = [await open({ labels }), await open({ labels }), await open()];
  await Promise.all([kept.dispose(), others.dispose()]);
  await removeOrphans(engine, { labels, olderThanMs: 60_000 });
  expect(await inspect(kept)).toBeDefined();
  // The next in another process, or with another idea of how old they may get, cleans up.
  await open({ labels, orphanAfterMs: 0 });
  expect(await inspect(kept)).toBeUndefined();
  expect(await inspect(others)).toBeDefined();
  expect((await held.execute("echo held")).stdout).toBe("held\n");
});

test("an owner's are removed all, also those whose ids nobody kept", async () => {
  const labels = { "test.run": String(process.pid) };
  const of = (owner: string): Promise<Sandbox> => open({ owner, labels });
  const [one, lost, other] = [await of("ses-1"), await of("ses-1"), await of("ses-2")];
  const elsewhere = await open({ owner: "ses-1", labels: { "test.run": "another" } });
  await lost.dispose();
  await removeSandboxesOf({ type: "docker", host, labels }, "ses-1");
  expect(
    await Promise.all([one, lost, other, elsewhere].map(async (each) => (await inspect(each)) !== undefined)),
  ).toEqual([false, false, true, true]);
  await expect(removeSandboxesOf({ type: "docker", host, labels }, "")).rejects.toMatchObject({
    code: "invalid-argument",
  });
  await removeSandboxesOf({ type: "docker", host, labels }, "ses-1");
});

test("an engine or an image that is missing is told in one line", async () => {
  const missing = await errorOf(open({ host: "unix:///nowhere/docker.sock" }));
  expect([missing.code, missing.message]).toEqual([
    "backend-unavailable",
    "The docker backend finds no engine at /nowhere/docker.sock: start Docker, or set host to its socket (unix:///…).",
  ]);
  expect((await errorOf(open({ host: "tcp://127.0.0.1:2375" }))).code).toBe("unsupported");
  const never = await errorOf(open({ image: "no-such-image" }));
  expect([never.code, never.message]).toEqual([
    "backend-unavailable",
    "The image no-such-image is not on this machine, and is never to be pulled: docker pull no-such-image",
  ]);
  const breaking: Server = createServer((socket) => socket.destroy());
  const path = join(directory, "breaking.sock");
  breaking.listen(path);
  await once(breaking, "listening");
  const broken = await errorOf(open({ host: `unix://${path}` }));
  breaking.close();
  expect([broken.code, broken.message]).toEqual([
    "backend-unavailable",
    expect.stringMatching(/^[^\n]*lost its engine/),
  ]);
});
