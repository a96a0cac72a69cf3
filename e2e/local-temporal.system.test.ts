import { mkdtemp, readFile, rm, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { tmpdir } from "node:os";
import { startScriptedModel } from "@stigmer/scripted-model";
import { expect, it } from "vitest";
import { makeHome, processesOf, until } from "./stigmer.ts";

// `local start --engine temporal`: Temporal's dev server as one more child of the daemon.

const AGENT = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec: { instructions: Do the work in steps. }
`;

it("keeps runs in a Temporal of the daemon's own, also when that is killed", { timeout: 400_000 }, async () => {
  const temporal = process.env["STIGMER_TEST_TEMPORAL"];
  if (!temporal) throw new Error("STIGMER_TEST_TEMPORAL is not set: it names the Temporal CLI that this test starts.");
  const bin = await mkdtemp(join(tmpdir(), "stigmer-bin-"));
  await symlink(temporal, join(bin, "temporal"));
  await using model = await startScriptedModel({
    scenario: { name: "one", scenarios: [{ name: "any", turns: [{ text: "Here I am." }] }] },
  });
  const env = {
    PATH: `${bin}:${dirname(process.execPath)}:${process.env["PATH"]}`,
    ANTHROPIC_API_KEY: "k",
    ANTHROPIC_BASE_URL: model.url,
  };
  await using home = await makeHome({ env });
  const started = await home.stigmer(["local", "start", "--port", "0", "--engine", "temporal"]);
  expect(started, started.stderr).toMatchObject({ exitCode: 0 });
  const status = await home.status();
  expect(status).toMatchObject({
    engine: "temporal",
    processes: [
      { name: "temporal", state: "running", restarts: 0 },
      { name: "stigmer-server", state: "running" },
      { name: "agent-runner", state: "running" },
    ],
  });
  const database = join(home.home, "data/temporal.db");
  expect((await stat(database)).size).toBeGreaterThan(0);

  expect(await home.stigmer(["apply", "-f", "-"], { stdin: AGENT })).toMatchObject({ exitCode: 0 });
  const run = async (): Promise<void> => {
    const result = await home.stigmer(["run", "worker", "Go.", "--json"]);
    expect(JSON.parse(result.stdout.trim().split("\n").at(-1) ?? ""), result.stderr).toMatchObject({
      phase: "EXECUTION_COMPLETED",
      output: "Here I am.",
    });
  };
  await run();

  // Its keeper is killed: the dev server that stayed behind must not be in the way of the next one.
  const former = Number(await readFile(join(home.home, "run/temporal.pid"), "utf8"));
  process.kill(status.processes[0]?.pid ?? Number.NaN, "SIGKILL");
  await until(async () => {
    const [keeper] = await home.processes();
    return keeper?.restarts === 1 && keeper.state === "running";
  }, 90);
  expect(Number(await readFile(join(home.home, "run/temporal.pid"), "utf8"))).not.toBe(former);
  await run();

  expect((await home.stigmer(["local", "logs", "temporal"])).exitCode).toBe(0);
  expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await processesOf(home.home)).toEqual([]);
  await rm(bin, { recursive: true });
});

it("says what is missing, and starts nothing", { timeout: 60_000 }, async () => {
  await using home = await makeHome({ env: { PATH: "/nowhere" } });
  const start = (args: readonly string[]): ReturnType<typeof home.stigmer> =>
    home.stigmer(["local", "start", "--engine", "temporal", ...args]);
  const missing = await start([]);
  expect(missing).toMatchObject({ exitCode: 1, stdout: "" });
  expect(missing.stderr).toMatch(
    /^There is no `temporal` on PATH nor in [^\n]*--yes[^\n]*docs\.temporal\.io\/cli[^\n]*\n$/,
  );
  expect(await processesOf(home.home)).toEqual([]);
});
