import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { expect, it } from "vitest";
import { type Home, makeHome, processesOf, repository, start, treeOf, until } from "./stigmer.ts";

// A process that crashes takes its memory with it, though the shell that started the daemon asks for all that there is to be
// written down: core files, heap snapshots, reports.

const KEYS = { model: "canary-model-5f1c9a7e", run: "canary-run-b27d0e64" };
const AGENT = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec: { instructions: Use the token that you are given. }
`;
const SCENARIO = {
  name: "crashes",
  scenarios: [
    {
      name: "holds the token",
      turns: [
        {
          toolCalls: [{ name: "execute", args: { command: "touch waiting; while [ ! -e go ]; do sleep 0.05; done" } }],
        },
        { text: "It is done." },
      ],
    },
  ],
};

/** A shell in which everything may be dumped, and what of it may be found where. */
async function dumpEverything(root: string): Promise<{ shell: [string, ...string[]]; env: Record<string, string> }> {
  const dumps = join(root, "dumps");
  await mkdir(dumps);
  await mkdir(join(root, "tmp"));
  const options = [
    "--report-on-fatalerror",
    "--report-uncaught-exception",
    "--report-on-signal",
    "--report-signal=SIGUSR2",
    `--report-directory=${dumps}`,
    "--heapsnapshot-signal=SIGQUIT",
    "--heapsnapshot-near-heap-limit=2",
    `--diagnostic-dir=${dumps}`,
  ];
  const main = join(repository, "apps/cli/src/main.ts");
  return {
    shell: [
      "bash",
      "-c",
      'ulimit -c unlimited && exec "$@"',
      "bash",
      process.execPath,
      "--conditions=@stigmer/source",
      main,
    ],
    env: { NODE_OPTIONS: options.join(" "), TMPDIR: join(root, "tmp") },
  };
}

const engines = ["embedded", "temporal"] as const;

it.each(engines)(
  "nothing of what it knows is left behind by a daemon that crashes (%s)",
  { timeout: 400_000 },
  async (engine) => {
    const root = await mkdtemp(join(tmpdir(), "stigmer-crash-"));
    try {
      const { shell, env } = await dumpEverything(root);
      await expectCore(root);
      await using model = await startScriptedModel({ scenario: SCENARIO });
      const PATH = await pathWith(engine, root);
      await using home = await makeHome({ env: { ...env, PATH } });
      const before = await coresAtRoot();

      const started = await home.stigmer(["local", "start", "--port", "0", "--engine", engine], {
        program: shell,
        env: { ANTHROPIC_API_KEY: KEYS.model, ANTHROPIC_BASE_URL: model.url },
      });
      expect(started, started.stderr).toMatchObject({ exitCode: 0 });
      expect(await home.stigmer(["apply", "-f", "-"], { stdin: AGENT })).toMatchObject({ exitCode: 0 });
      const workspace = join(root, "workspace");
      await mkdir(workspace);
      const run = home.start(["run", "worker", "Go.", "--workspace", workspace, "--secret", "TOKEN"], {
        env: { TOKEN: KEYS.run },
      });
      await until(async () => existsSync(join(workspace, "waiting")), 90);

      const pid = await daemonOf(home);
      const tree = await treeOf(pid);
      const seen: string[] = [];
      for (const each of tree) {
        const shown = await Promise.all(
          ["limits", "environ"].map((file) => readFile(`/proc/${each.pid}/${file}`, "utf8")),
        )
          // One of the `sleep`s that the agent's command waits with: gone by now.
          .catch(() => undefined);
        if (shown === undefined) continue;
        const [limits = "", environment = ""] = shown;
        expect(limits, each.command).toMatch(/^Max core file size +0 /m);
        expect(each.command).not.toMatch(/canary-/);
        expect(environment).not.toMatch(/--report|--heapsnapshot/);
        // The agent's command is given its own secret, and nothing else of any.
        expect(environment).not.toContain(KEYS.model);
        expect(environment.includes(KEYS.run) && !/go \]|^sleep/.test(each.command), each.command).toBe(false);
        seen.push(each.command);
      }
      for (const part of [
        "internal supervise",
        "server run",
        "agent-runner",
        "go ]",
        ...(engine === "temporal" ? ["start-dev"] : []),
      ])
        expect(seen.join("\n")).toContain(part);

      // This one would open the debugger.
      for (const each of await home.processes()) process.kill(each.pid, "SIGUSR1");
      // What an operator, a mistake or the kernel may do to them.
      await crash(home, "agent-runner", "SIGUSR2");
      await crash(home, "stigmer-server", "SIGQUIT");
      await crash(home, "agent-runner", "SIGABRT");
      await crash(home, "stigmer-server", "SIGSEGV");
      for (const file of await filesBelow(join(home.home, "logs")))
        expect(await readFile(file, "utf8")).not.toContain("Debugger listening");
      await writeFile(join(workspace, "go"), "");
      await run.result;

      process.kill(pid, "SIGSEGV");
      await until(async () => (await processesOf(home.home)).length === 0, 60);

      expect(await readdir(join(root, "dumps"))).toEqual([]);
      expect(await coresAtRoot()).toEqual(before);
      const files = [...(await filesBelow(home.home)), ...(await filesBelow(root))];
      expect(files.length).toBeGreaterThan(5);
      expect(files.filter((file) => /(^|\/)core(\.\d+)?$|\.heapsnapshot$|report\..*\.json$/.test(file))).toEqual([]);
      expect(await filesWith(/canary-/, files)).toEqual([]);
    } finally {
      await rm(root, { recursive: true, force: true, maxRetries: 3 });
    }
  },
);

it(
  "a report that is asked of a process with keys in its environment has none of them",
  { timeout: 120_000 },
  async () => {
    const root = await mkdtemp(join(tmpdir(), "stigmer-report-"));
    try {
      const NODE_OPTIONS = `--report-on-signal --report-signal=SIGUSR2 --report-directory=${root}`;
      const server = start(["server", "run", "--port", "0"], {
        env: {
          STIGMER_HOME: join(root, "home"),
          STIGMER_ENCRYPTION_KEY: Buffer.from(KEYS.model.padEnd(32)).toString("base64"),
          NODE_OPTIONS,
        },
      });
      await server.printed(/127\.0\.0\.1:\d+/);
      const runner = start([], {
        program: [process.execPath, "--conditions=@stigmer/source", join(repository, "apps/agent-runner/src/main.ts")],
        env: {
          MODE: "local",
          STIGMER_HOME: join(root, "home"),
          STIGMER_BACKEND_ENDPOINT: /127\.0\.0\.1:\d+/.exec(server.output())?.[0] ?? "",
          ANTHROPIC_API_KEY: KEYS.model,
          NODE_OPTIONS,
        },
      });
      await runner.printed("Worker ready");
      for (const { process: child } of [server, runner]) process.kill(child.pid ?? Number.NaN, "SIGUSR2");
      const reports = async (): Promise<string[]> => (await readdir(root)).filter((name) => name.endsWith(".json"));
      await until(async () => (await reports()).length === 2);
      for (const { process: child } of [runner, server]) process.kill(child.pid ?? Number.NaN, "SIGTERM");
      await Promise.all([runner.result, server.result]);
      for (const name of await reports()) {
        const report = JSON.parse(await readFile(join(root, name), "utf8")) as object;
        expect(report).toHaveProperty("javascriptHeap");
        expect(report).not.toHaveProperty("environmentVariables");
        expect(JSON.stringify(report)).not.toContain(KEYS.model);
      }
    } finally {
      await rm(root, { recursive: true, force: true, maxRetries: 3 });
    }
  },
);

/** Ends a process of the daemon so, and waits for the next one. */
async function crash(home: Home, name: string, signal: NodeJS.Signals): Promise<void> {
  const find = async (): Promise<{ pid: number; state: string } | undefined> =>
    (await home.processes()).find((each) => each.name === name);
  const before = await find();
  process.kill(before?.pid ?? Number.NaN, signal);
  await until(async () => {
    const now = await find();
    return now?.state === "running" && now.pid !== before?.pid;
  }, 120);
}

async function daemonOf({ home }: Home): Promise<number> {
  return (JSON.parse(await readFile(join(home, "run/daemon.json"), "utf8")) as { pid: number }).pid;
}

/** That a core file is seen where one is written, on a system that writes them itself: else the search proves nothing. */
async function expectCore(root: string): Promise<void> {
  if (/^[|/]/.test(await readFile("/proc/sys/kernel/core_pattern", "utf8"))) return;
  const cwd = await mkdtemp(join(root, "core-"));
  const victim = spawn("bash", ["-c", "ulimit -c unlimited && exec sleep 600"], { cwd, stdio: "ignore" });
  await until(async () => (await readFile(`/proc/${victim.pid}/cmdline`, "utf8")).startsWith("sleep"));
  victim.kill("SIGSEGV");
  await once(victim, "exit");
  expect((await readdir(cwd)).filter((name) => name.startsWith("core"))).toHaveLength(1);
  await rm(cwd, { recursive: true });
}

/** The daemon's processes are in `/`. */
async function coresAtRoot(): Promise<string[]> {
  return (await readdir("/")).filter((name) => /^core(\.\d+)?$/.test(name));
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function filesWith(pattern: RegExp, files: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(files.map((file) => readFile(file, "latin1")));
  return files.filter((_, at) => pattern.test(texts[at] ?? ""));
}

/** With Temporal's program on it, where that is needed. */
async function pathWith(engine: (typeof engines)[number], root: string): Promise<string> {
  const path = `${dirname(process.execPath)}:${process.env["PATH"]}`;
  if (engine === "embedded") return path;
  const temporal = process.env["STIGMER_TEST_TEMPORAL"];
  if (!temporal) throw new Error("STIGMER_TEST_TEMPORAL is not set: it names the Temporal CLI that this test starts.");
  await mkdir(join(root, "bin"));
  await symlink(temporal, join(root, "bin/temporal"));
  return `${join(root, "bin")}:${path}`;
}
