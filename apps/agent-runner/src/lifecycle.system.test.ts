import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExecutionPhase, ToolCallStatus, type AgentExecution } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startFixtureServer } from "./__fixtures__/fixture-server.ts";
import { startPlatform, startRunner, type Platform, type RunnerProcess } from "./__fixtures__/platform.ts";
import { until } from "./__fixtures__/until.ts";

// How a runner lives and ends, seen from outside: signals, exit codes, health endpoints.

let platform: Platform;
let folder: string;
let workspaceDir: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-lifecycle-"));
  platform = await startPlatform({
    name: "lifecycle",
    scenarios: [
      {
        name: "waits until it is let go",
        match: { human: "wait" },
        turns: [
          {
            toolCalls: [
              { name: "execute", args: { command: "echo began >> effects; while [ ! -e go ]; do sleep 0.05; done" } },
            ],
          },
          { toolCalls: [{ name: "execute", args: { command: "echo ended >> effects" } }] },
          { text: "done" },
        ],
      },
      { name: "answers", match: { human: "answer" }, turns: [{ text: "here" }] },
    ],
  });
}, 60_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  workspaceDir = await mkdtemp(join(folder, "work-"));
});

const effects = async (): Promise<string[]> =>
  (await readFile(join(workspaceDir, "effects"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");

/** Starts a run that waits in its first tool until the file `go` is there. */
async function startWaiting(): Promise<AgentExecution> {
  const session = await platform.createSession(await platform.applyAgent(), { workspaceDir });
  const execution = await platform.submit({ sessionId: session.metadata?.id, message: "wait" });
  await until(async () => (await effects()).includes("began"));
  return execution;
}

async function answerOf(execution: AgentExecution): Promise<ExecutionPhase | undefined> {
  return (await platform.client.executions.get(execution.metadata?.id ?? "")).status?.phase;
}

/** What `/readyz` says: "200 ok", "503 draining"; "gone" when nobody answers. */
async function ready(runner: RunnerProcess, path = "readyz"): Promise<string> {
  const url = /^Health: +(http:\S+)\/healthz/m.exec(runner.output())?.[1];
  if (!url) return "unknown";
  try {
    const response = await fetch(`${url}/${path}`);
    return `${response.status} ${(await response.text()).trim()}`;
  } catch {
    return "gone";
  }
}

describe("a runner that is told to end", () => {
  it("takes no more work, finishes what it has, and exits 0", { timeout: 60_000 }, async () => {
    const runner = await platform.runner({ STIGMER_RUNNER_HEALTH_PORT: "0" });
    const execution = await startWaiting();
    runner.process.kill("SIGTERM");
    await until(async () => (await ready(runner)) === "503 draining");
    const late = await platform.submit({ agentId: execution.spec?.agentId, message: "answer" });
    await until(() => runner.output().includes("finishing what runs"));
    await writeFile(join(workspaceDir, "go"), "");
    expect((await platform.follow(execution)).phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(await runner.exited).toBe(0);
    expect(await effects()).toEqual(["began", "ended"]);
    expect(await answerOf(late)).toBe(ExecutionPhase.EXECUTION_PENDING);
    const next = await platform.runner();
    expect((await platform.follow(late)).phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    next.process.kill("SIGTERM");
    expect(await next.exited).toBe(0);
  });

  it("hands back what does not end in time, and another runner goes on", { timeout: 90_000 }, async () => {
    const first = await platform.runner();
    const execution = await startWaiting();
    first.process.kill("SIGTERM");
    const second = await platform.runner();
    expect(await first.exited).toBe(0);
    const status = await platform.follow(execution);
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    // The command was broken off with its runner: nobody runs it again, and everybody is told.
    expect(await effects()).toEqual(["began", "ended"]);
    expect(status.toolCalls.map(({ status }) => status)).toEqual([
      ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
      ToolCallStatus.TOOL_CALL_COMPLETED,
    ]);
    second.process.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("exits at once on a second signal: %s", { timeout: 60_000 }, async (signal, code) => {
    const runner = await platform.runner();
    const execution = await startWaiting();
    runner.process.kill("SIGTERM");
    await until(() => runner.output().includes("finishing what runs"));
    runner.process.kill(signal);
    expect(await runner.exited).toBe(code);
    await platform.client.executions.cancel(execution.metadata?.id ?? "");
    await until(async () => (await processesIn(workspaceDir)) === 0);
  });

  it("ends also while it still looks for its server", { timeout: 60_000 }, async () => {
    await using server = await startFixtureServer({ hello: () => new Promise(() => {}) });
    const runner = startRunner({
      MODE: "local",
      STIGMER_HOME: platform.home,
      STIGMER_BACKEND_ENDPOINT: server.endpoint,
      STIGMER_RUNNER_HEALTH_PORT: "0",
    });
    await until(() => server.calls.length > 0);
    expect(await ready(runner, "healthz")).toBe("200 ok");
    expect(await ready(runner)).toBe("503 starting");
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
    expect(runner.output()).not.toContain("Worker ready");
  });
});

describe("a runner whose server goes", () => {
  it("is disconnected, lives, and is ready again by itself", { timeout: 90_000 }, async () => {
    const runner = await platform.runner({ STIGMER_RUNNER_HEALTH_PORT: "0" });
    expect(await ready(runner)).toBe("200 ok");
    const execution = await startWaiting();
    await platform.restartServer(async () => {
      await until(async () => (await ready(runner)) === "503 disconnected");
      expect(await ready(runner, "healthz")).toBe("200 ok");
      await writeFile(join(workspaceDir, "go"), "");
      // The second call begins only when the ledger has it: the server is waited for.
      await until(() => runner.output().includes("the ledger is away"));
      expect(await effects()).toEqual(["began"]);
    });
    const status = await platform.follow(execution);
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(await effects()).toEqual(["began", "ended"]);
    await until(async () => (await ready(runner)) === "200 ok");
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
    expect(await ready(runner)).toBe("gone");
  });
});

/** How many processes have their working directory there. */
async function processesIn(directory: string): Promise<number> {
  const { readlink } = await import("node:fs/promises");
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const directories = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  return directories.filter((cwd) => cwd === directory).length;
}
