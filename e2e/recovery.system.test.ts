import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { processesOf, startLocal, until, type LocalPlatform } from "./stigmer.ts";

// Real processes, really killed, in the middle of a run.

const AGENT = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata:
  name: worker
spec:
  instructions: Do the work in three steps.
`;

const SCENARIO = `name: recovery
scenarios:
  - name: three steps
    turns:
      - text: One.
        toolCalls: [{ name: execute, args: { command: "echo one >> effects" } }]
      - text: Two.
        toolCalls: [{ name: execute, args: { command: "echo two >> effects; while [ ! -e go ]; do sleep 0.05; done" } }]
      - text: Three.
        toolCalls: [{ name: execute, args: { command: "echo three >> effects" } }]
      - text: All three steps are done.
`;

interface Work extends AsyncDisposable {
  readonly platform: LocalPlatform;
  readonly folder: string;
  /** The steps that were taken so far. */
  effects(): Promise<string[]>;
}

async function prepare(): Promise<Work> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-recovery-"));
  const scenario = join(folder, "scenario.yaml");
  await writeFile(scenario, SCENARIO);
  const platform = await startLocal(scenario);
  const applied = await platform.stigmer(["apply", "-f", "-"], { stdin: AGENT });
  expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
  return {
    platform,
    folder,
    effects: async () =>
      (await readFile(join(folder, "effects"), "utf8").catch(() => "")).split("\n").filter((line) => line !== ""),
    async [Symbol.asyncDispose]() {
      // A run that still waits would have the stop wait for it.
      await writeFile(join(folder, "go"), "");
      await platform[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

it.concurrent.each(["agent-runner", "stigmer-server"])(
  "kill -9 of the %s in the middle of a run: the daemon restarts it, and the run completes",
  { timeout: 240_000 },
  async (victim) => {
    await using work = await prepare();
    const { platform, folder, effects } = work;
    const run = platform.start(["run", "worker", "Go.", "--workspace", folder, "--json"]);
    await until(async () => (await effects()).includes("two"), 60);
    const before = (await platform.processes()).find(({ name }) => name === victim);
    process.kill(before?.pid ?? 0, "SIGKILL");
    await until(async () => {
      const now = (await platform.processes()).find(({ name }) => name === victim);
      return now?.state === "running" && now.pid !== before?.pid && now.restarts === 1;
    });
    await writeFile(join(folder, "go"), "");
    const result = await run.result;
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    const last = JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "") as Record<string, string>;
    expect(last).toMatchObject({ type: "result", phase: "EXECUTION_COMPLETED", output: "All three steps are done." });
    expect(await effects()).toEqual(["one", "two", "three"]);
    // The command that was under way is not done again. When it was its runner that died, nobody knows whether it ended.
    const { executionId } = last;
    const shown = await platform.stigmer(["get", "execution", executionId ?? "", "-o", "json"]);
    const { status } = JSON.parse(shown.stdout) as { status: { toolCalls: { status: string }[] } };
    expect(status.toolCalls.map((call) => call.status)).toEqual([
      "TOOL_CALL_COMPLETED",
      victim === "agent-runner" ? "TOOL_CALL_OUTCOME_UNKNOWN" : "TOOL_CALL_COMPLETED",
      "TOOL_CALL_COMPLETED",
    ]);
  },
);

it.concurrent(
  "kill -9 of the daemon leaves no process behind, and a new one finds its place",
  { timeout: 240_000 },
  async () => {
    await using work = await prepare();
    const { platform, folder, effects } = work;
    const run = platform.start(["run", "worker", "Go.", "--workspace", folder, "--detach"]);
    expect(await run.result).toMatchObject({ exitCode: 0 });
    await until(async () => (await effects()).includes("two"), 60);
    const children = await platform.processes();
    const daemon = JSON.parse(await readFile(join(platform.home, "run/daemon.json"), "utf8")) as { pid: number };
    process.kill(daemon.pid, "SIGKILL");
    for (const { pid } of children) await until(async () => !(await isAlive(pid)));
    await until(async () => (await processesOf(folder)).length === 0);
    expect(await platform.stigmer(["local", "status"])).toMatchObject({ exitCode: 1 });
    const again = await platform.stigmer(["local", "start", "--port", "0"]);
    expect(again, again.stderr).toMatchObject({ exitCode: 0 });
  },
);

async function isAlive(pid: number): Promise<boolean> {
  // A zombie is as good as gone: it only waits for its parent to look.
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return status !== "" && !/\) Z /.test(status);
}
