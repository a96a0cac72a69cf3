// What commands in an isolated sandbox can't see, reach or do, with the real bubblewrap.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readProcessTable } from "../host-processes/process-table.ts";
import type { Sandbox } from "../sandbox.ts";
import { createIsolatedSandbox, type IsolatedSandboxOptions } from "./index.ts";
import { createNamespaces } from "./namespaces.ts";

let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "isolation-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

let made = 0;
const newRoot = (): string => join(directory, `root-${made++}`);

async function withSandbox(
  use: (sandbox: Sandbox) => Promise<void>,
  options?: Partial<IsolatedSandboxOptions>,
): Promise<void> {
  const sandbox = await createIsolatedSandbox({ rootDir: newRoot(), ...options });
  try {
    await use(sandbox);
  } finally {
    await sandbox.dispose();
  }
}

const beating = "while :; do echo . >> beat; sleep 0.05; done";
const size = async (file: string): Promise<number> => (await readFile(file).catch(() => "")).length;
/** Six beats long nothing happened. */
async function expectStill(file: string): Promise<void> {
  const before = await size(file);
  expect(before).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await size(file)).toBe(before);
}

describe("a command", () => {
  test("writes nowhere but in the workspace and the private /tmp", async () => {
    await withSandbox(async (sandbox) => {
      expect(sandbox.root).toBe("/workspace");
      const places = ["/", "/usr", "/usr/bin", "/etc", "/var", "/run", "/dev", "/opt", "/proc", "/home", "/root"];
      const attempt = places.map((place) => `(echo x > ${place}/canary) 2>/dev/null && echo ${place}`).join("; ");
      expect(
        (await sandbox.execute(`${attempt}; echo mine > /workspace/a; echo t > /tmp/b; cat a /tmp/b`)).stdout,
      ).toBe("mine\nt\n");
      const again = "mount -o remount,rw / 2>&1; umount /etc 2>&1; (echo x > /etc/canary) 2>&1; id -u";
      expect((await sandbox.execute(again)).stdout).toMatch(/1000\n$/);
      expect(await readdir("/etc")).not.toContain("canary");
      expect(await readdir(join(sandbox.id.slice("isolated:".length)))).toEqual(["a"]);
    });
  });

  test("sees no home directory, no socket of the machine, and none of its secrets", async () => {
    const secret = join(directory, "secret");
    await writeFile(secret, "canary");
    await withSandbox(async (sandbox) => {
      const hidden = [
        homedir(),
        "/home",
        "/root",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/var/lib",
        "/srv",
        secret,
      ];
      const { stdout } = await sandbox.execute(
        `for p in ${hidden.join(" ")}; do [ -e "$p" ] && [ -n "$(ls -A "$p" 2>/dev/null)" ] && echo "$p"; done; cat /etc/shadow /etc/gshadow /etc/ssl/private/* 2>/dev/null; ls /tmp; cat /etc/passwd`,
      );
      expect(stdout).toMatch(/^home\nroot:x:0:0:root/);
      expect(stdout.split("\n")).toHaveLength(5);
    });
  });

  test("gets nothing of this process's environment, not even from /proc", async () => {
    process.env["CANARY"] = "canary-in-environment";
    try {
      await withSandbox(
        async (sandbox) => {
          const { stdout } = await sandbox.execute(
            "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
          );
          expect(stdout).toContain("DECLARED=d\n");
          expect(stdout).not.toContain("canary-in-environment");
          expect(stdout).not.toContain(directory);
        },
        { env: { DECLARED: "d" } },
      );
    } finally {
      delete process.env["CANARY"];
    }
  });

  test("sees no process but the sandbox's own, and can harm no other", async () => {
    const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
    try {
      await withSandbox(async (sandbox) => {
        const { stdout } = await sandbox.execute(
          `ls -d /proc/[0-9]* | wc -l; kill -9 ${stranger.pid} ${process.pid} 2>/dev/null || echo refused; hostname; cat /proc/self/status`,
        );
        expect(Number(stdout.split("\n")[0])).toBeLessThan(10);
        expect(stdout).toContain("refused\nsandbox\n");
        expect(stdout).toMatch(/CapEff:\s+0+\n/);
        expect(stdout).toMatch(/NoNewPrivs:\s+1\n/);
      });
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill("SIGKILL");
    }
  });

  test("can't change the machine by way of /proc, nor gain rights in a namespace of its own", async () => {
    await withSandbox(async (sandbox) => {
      // What is there is written back, so that nothing changes where it can be written.
      const files = "sys/kernel/core_pattern sys/kernel/hostname sys/vm/swappiness sys/kernel/modprobe";
      const tried = `for f in ${files}; do (cat /proc/$f > /tmp/copy; cat /tmp/copy > /proc/$f) 2>/dev/null && echo "$f"; done
        for f in sysrq-trigger kcore kmsg mtrr; do [ ! -e /proc/$f ] || [ -c /proc/$f ] || echo "$f is not covered"; done
        find /proc/sys /proc/irq /proc/bus /proc/fs -type f -writable 2>/dev/null | head -5`;
      await sandbox.files.write("tried", tried);
      const nested = `unshare -Ur sh tried; unshare -Ur sh -c 'mount -o remount,rw /usr 2>/dev/null && echo remount'
        unshare -Urmpf sh -c 'mount -t proc proc /proc 2>/dev/null && echo proc; mount -t sysfs sysfs /tmp 2>/dev/null && echo sysfs; umount /etc/shadow 2>/dev/null && echo uncovered; umount -l /proc/sys 2>/dev/null && echo umount; sh tried'
        unshare -Urmn sh -c 'umount -l /proc/sys 2>/dev/null && echo umount; sh tried'`;
      expect(await sandbox.execute(`sh tried; ${nested}; cat /proc/kcore /proc/kmsg; exit 0`)).toMatchObject({
        exitCode: 0,
        stdout: "",
      });
    });
  });

  test("inherits no file but its three", async () => {
    // 0, 1 and 2, and whatever this process was started with and passes on to all its children.
    const elsewhere = spawnSync("/bin/sh", ["-c", "ls /proc/$$/fd; true"], { encoding: "utf8" }).stdout;
    await withSandbox(async (sandbox) => {
      expect((await sandbox.execute("ls /proc/$$/fd; true")).stdout).toBe(elsewhere);
    });
  });

  test("reads what was shown on purpose, and not what was hidden on purpose", async () => {
    const shown = join(directory, "toolchain");
    await mkdir(shown);
    await writeFile(join(shown, "tool"), "a tool\n");
    await withSandbox(
      async (sandbox) => {
        expect(await sandbox.execute(`cat ${shown}/tool; ls /usr/share | wc -l; touch ${shown}/x`)).toMatchObject({
          exitCode: 1,
          stdout: "a tool\n0\n",
        });
      },
      { readOnlyPaths: [shown], hiddenPaths: ["/usr/share"] },
    );
  });

  test("may kill everything it sees: the sandbox can be used all the same", async () => {
    await withSandbox(async (sandbox) => {
      const background = await sandbox.spawn("sleep 1000");
      await sandbox.execute("kill -9 -1; sleep 10", { timeoutMs: 20_000 });
      expect((await background.wait()).exitCode).toBe(137);
      await sandbox.files.write("after", "still here");
      expect(await sandbox.execute("cat after")).toMatchObject({ exitCode: 0, stdout: "still here" });
      const results = await Promise.all([1, 2, 3].map(() => sandbox.execute("kill -9 -1; sleep 10")));
      expect(results.map(({ exitCode }) => exitCode)).not.toContain(0);
      expect(await sandbox.execute("echo fine")).toMatchObject({ exitCode: 0, stdout: "fine\n" });
    });
  });

  test("is found though it took off its mark", async () => {
    await withSandbox(async (sandbox) => {
      const other = sandbox.execute("sleep 3; echo fine");
      const escaped = `(setsid env -i sh -c 'ulimit -w 5 2>/dev/null || ulimit -x 5; ${beating}' &); until [ -s beat ]; do sleep 0.02; done; sleep 60`;
      expect(await sandbox.execute(escaped, { timeoutMs: 1500 })).toMatchObject({ exitCode: 124 });
      await expectStill(join(sandbox.id.slice("isolated:".length), "beat"));
      expect(await other).toMatchObject({ exitCode: 0, stdout: "fine\n" });
    });
  });
});

test("commands share what a machine shares: a server, its number, and /tmp", async () => {
  await withSandbox(async (sandbox) => {
    await sandbox.execute(
      'perl -MIO::Socket::INET -e \'$s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1:8123",Listen=>5,ReuseAddr=>1) or die; open F,">/tmp/up"; close F; while($c=$s->accept){print $c "hello\\n"; close $c}\' >/dev/null 2>&1 & echo $! > /tmp/number',
    );
    const ask =
      "until [ -e /tmp/up ]; do sleep 0.05; done; perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(\"127.0.0.1:8123\")->getline'";
    expect(await sandbox.execute(ask)).toMatchObject({ exitCode: 0, stdout: "hello\n" });
    expect(await sandbox.execute("kill $(cat /tmp/number)")).toMatchObject({ exitCode: 0 });
  });
});

describe("the network", () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    server = createServer((_, response) => response.end("from outside")).listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => server.close());
  const connect = (): string =>
    `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:${port}", Timeout => 5) or exit 9; print $s "GET / HTTP/1.0\\r\\n\\r\\n"; print <$s>'`;

  test("is off unless asked for", async () => {
    for (const network of [undefined, { type: "off" }] as const) {
      await withSandbox(
        async (sandbox) => {
          expect(await sandbox.execute(connect())).toMatchObject({ exitCode: 9 });
          expect((await sandbox.execute("cat /proc/net/dev")).stdout).not.toMatch(/eth|ens|wl/);
        },
        { network },
      );
    }
  });

  /** What the proxy answers to this. */
  const ask = (request: string): string =>
    `perl -MIO::Socket::INET -e '$ENV{HTTPS_PROXY} =~ m{^http://(.*)$}; my $s = IO::Socket::INET->new(PeerAddr => $1, Timeout => 5) or exit 9; print $s "${request}\\r\\n\\r\\n"; print <$s>'`;

  test("leads to the domains of an allow-list alone, and only by way of the proxy", async () => {
    await withSandbox(
      async (sandbox) => {
        const answer = async (request: string): Promise<string> => (await sandbox.execute(ask(request))).stdout;
        expect(await answer(`GET http://localhost:${port}/ HTTP/1.0`)).toMatch(/^HTTP\/1.1 200[^]*from outside$/);
        expect(await answer(`CONNECT localhost:${port} HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.0`)).toMatch(
          /^HTTP\/1.1 200 Conn[^]*HTTP\/1.1 200[^]*from outside$/,
        );
        for (const host of ["127.0.0.1", "localhost.evil.net", "evil.net", "[::1]", "x@localhost"]) {
          expect(await answer(`GET http://${host}:${port}/ HTTP/1.0`), host).toMatch(/^HTTP\/1.1 403/);
          expect(await answer(`CONNECT ${host}:${port} HTTP/1.1`), host).toMatch(/^HTTP\/1.1 403/);
        }
        expect(await answer("GET / HTTP/1.0")).toMatch(/^HTTP\/1.1 403/);
        expect(await sandbox.execute(connect())).toMatchObject({ exitCode: 9 });
        // Nor is the way out lost, or seen, when everything is killed.
        expect((await sandbox.execute("cat /proc/[0-9]*/cmdline")).stdout).not.toContain("createServer");
        await sandbox.execute("kill -9 -1");
        expect(await answer(`GET http://localhost:${port}/ HTTP/1.0`)).toMatch(/^HTTP\/1.1 200/);
      },
      { network: { type: "allow-list", domains: ["localhost", "*.example.com"] } },
    );
  });

  test("is the machine's when it is full", async () => {
    await withSandbox(async (sandbox) => expect((await sandbox.execute(connect())).stdout).toContain("from outside"), {
      network: { type: "full" },
    });
  });
});

test("everything ends with the process that made the sandbox, however it ends", async () => {
  const rootDir = newRoot();
  const fixture = fileURLToPath(new URL("__fixtures__/host.ts", import.meta.url));
  const command = `(setsid env -i sh -c '${beating}' &); until [ -s beat ]; do sleep 0.02; done; echo running; sleep 1000`;
  const host = spawn(process.execPath, ["--conditions=@stigmer/source", fixture, rootDir, command], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(host.stdout, "data");
  host.kill("SIGKILL");
  await once(host, "exit");
  await expectStillSoon(join(rootDir, "beat"));
});

/** The kernel takes a moment to end a namespace. */
async function expectStillSoon(file: string): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const before = await size(file);
    await new Promise((resolve) => setTimeout(resolve, 300));
    if ((await size(file)) === before) return expectStill(file);
  }
  await expectStill(file);
}

test("leaves no process, no open file and nothing in the system's temporary directory behind", async () => {
  const before = { files: (await readdir("/proc/self/fd")).length, temporary: (await readdir(tmpdir())).length };
  for (let round = 0; round < 5; round++) {
    await withSandbox(async (sandbox) => {
      await sandbox.execute("sleep 1000 & echo x > /tmp/file");
      await sandbox.spawn("sleep 1000");
    });
  }
  const children = readProcessTable().filter(({ parent, state }) => parent === process.pid && state !== "Z");
  expect(children).toEqual([]);
  expect((await readdir("/proc/self/fd")).length).toBeLessThanOrEqual(before.files);
});

test("the root outlives the sandbox, and is found again by its id", async () => {
  const rootDir = newRoot();
  const first = await createIsolatedSandbox({ rootDir });
  await first.files.write("kept", "x");
  await first.dispose();
  await withSandbox(async (sandbox) => expect(await sandbox.files.readText("/workspace/kept")).toBe("x"), {
    rootDir,
    id: first.id,
  });
  await expect(createIsolatedSandbox({ rootDir, id: "isolated:/elsewhere" })).rejects.toMatchObject({
    code: "sandbox-gone",
  });
});

test("what it can't keep, or makes no sense, is refused by its name", async () => {
  const refused = (options: Partial<IsolatedSandboxOptions>): Promise<unknown> =>
    createIsolatedSandbox({ rootDir: newRoot(), ...options }).catch((error: unknown) => error);
  expect(await refused({ readOnlyPaths: ["relative"] })).toMatchObject({ code: "invalid-argument" });
  expect(await refused({ readOnlyPaths: ["/no/such/path"] })).toMatchObject({ code: "not-found" });
  expect(await refused({ rootDir: "" })).toMatchObject({ code: "invalid-argument" });
});

test("what bubblewrap refuses is told in its words", async () => {
  const made = createNamespaces({
    bwrap: "bwrap",
    shell: "/bin/sh",
    mounts: ["--ro-bind", "/no/such/directory", "/"],
    ownNetwork: true,
  });
  await expect(made).rejects.toMatchObject({
    code: "backend-unavailable",
    message: expect.stringContaining("/no/such/directory"),
  });
});
