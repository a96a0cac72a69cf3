// Our runner, as a real process, where the server knows nothing of ours: neither claims nor deltas nor the ledger.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startScriptedModel, type ScriptedModel } from "@stigmer/scripted-model";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { repository, start, type Started } from "../stigmer.ts";
import { startTemporal, type TemporalDevServer } from "../temporal.ts";
import { type Answer, at, idOf } from "./caller.ts";
import { openGrpcJs } from "./clients/grpc-js.ts";
import { olderContract } from "./contract.ts";
import { type OlderServer, startOlderServer } from "./older-server.ts";
import { agentOf, EXECUTION_QUERIES, EXECUTIONS, openWorld, PKG, resource, type World } from "./world.ts";
import { skillZip } from "./zip.ts";

const RUNNER = join(repository, "apps/agent-runner/src/main.ts");
const inLocal = { scope: "organization", org: "local" };

let temporal: TemporalDevServer;
let model: ScriptedModel;
beforeAll(async () => {
  temporal = await startTemporal();
  model = await startScriptedModel({
    scenario: {
      name: "older server",
      scenarios: [
        {
          name: "two commands",
          match: { human: "Greet the town" },
          turns: [
            {
              text: "First the town.",
              toolCalls: [{ name: "execute", args: { command: 'echo "Moin $CITY" >> greetings' } }],
            },
            { toolCalls: [{ name: "write_todos", args: { todos: [{ content: "greet", status: "completed" }] } }] },
            { toolCalls: [{ name: "execute", args: { command: "echo done >> greetings; cat greetings" } }] },
            { text: "The town is greeted." },
          ],
        },
      ],
    },
  });
});
afterAll(async () => {
  await model.close();
  await temporal.dispose();
});

let world: World;
let older: OlderServer;
let home: string;
let runner: Started | undefined;
beforeEach(async () => {
  const { address, namespace } = temporal;
  world = await openWorld({ engine: { type: "temporal", address, namespace, heartbeatTimeoutMs: 5_000 } });
  older = await startOlderServer(world);
  home = await mkdtemp(join(tmpdir(), "stigmer-older-"));
});
afterEach(async () => {
  runner?.process.kill("SIGTERM");
  await runner?.result;
  runner = undefined;
  await older[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

function startRunner(env: Record<string, string>): Started {
  runner = start([], {
    program: [process.execPath, "--conditions=@stigmer/source", RUNNER],
    env: {
      MODE: "local",
      STIGMER_HOME: home,
      STIGMER_BACKEND_ENDPOINT: older.endpoint,
      STIGMER_API_KEY: world.apiKey,
      SANDBOX_ROOT_DIR: join(home, "workspace"),
      ANTHROPIC_API_KEY: "scripted-model-key",
      ANTHROPIC_BASE_URL: model.url,
      ...env,
    },
  });
  return runner;
}

it("a whole run works by whole statuses", { timeout: 240_000 }, async () => {
  const client = openGrpcJs({ ...older, apiKey: world.apiKey, methods: olderContract });
  await startRunner({
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
  }).printed("Worker ready, polling for tasks...");
  const pushed = { ...inLocal, name: "adding", artifact: skillZip("adding") };
  await client.call(`${PKG}.skill.v1.SkillCommandController/push`, pushed);
  await client.call(
    `${PKG}.environment.v1.EnvironmentCommandController/apply`,
    resource("Environment", "Town", { data: { CITY: { value: "Kiel" } } }),
  );
  const agent = await client.call(
    `${PKG}.agent.v1.AgentCommandController/apply`,
    agentOf("Greeter", {
      skillRefs: [{ ...inLocal, kind: "skill", slug: "adding" }],
      envSpec: { data: { CITY: { description: "Whom to greet." } } },
    }),
  );
  const instance = await client.call(
    `${PKG}.agentinstance.v1.AgentInstanceCommandController/create`,
    resource("AgentInstance", "in town", {
      agentId: idOf(agent),
      environmentRefs: [{ ...inLocal, kind: "workflow_execution", slug: "town" }],
    }),
  );
  const session = await client.call(
    `${PKG}.session.v1.SessionCommandController/create`,
    resource("Session", "talk", { agentInstanceId: idOf(instance) }),
  );
  const run = await client.call(
    `${EXECUTIONS}/create`,
    resource("AgentExecution", "run", { sessionId: idOf(session), message: "Greet the town" }),
  );
  const seen: Answer[] = [];
  for await (const answer of client.stream(`${EXECUTION_QUERIES}/subscribe`, { value: idOf(run) })) seen.push(answer);
  client.close();

  expect(seen.at(-1), runner?.output()).toMatchObject({ status: { phase: "EXECUTION_COMPLETED" } });
  const { status } = seen.at(-1) as {
    status: { messages: { type: string; content: string }[]; toolCalls?: object[]; todos: Record<string, object> };
  };
  expect(status.messages.at(-1)).toMatchObject({ type: "MESSAGE_AI", content: "The town is greeted." });
  const calls = status.messages.flatMap((message) => (message as { toolCalls?: Answer[] }).toolCalls ?? []);
  expect([...calls, ...(status.toolCalls ?? [])].filter((call) => at(call, "name") === "execute")).toEqual(
    expect.arrayContaining([expect.objectContaining({ status: "TOOL_CALL_COMPLETED" })]),
  );
  expect(Object.values(status.todos)).toMatchObject([{ content: "greet", status: "TODO_COMPLETED" }]);
  // In order: a phase never goes back, and what was said stays said.
  const lengths = seen.map((answer) => ((answer["status"] as Answer)["messages"] as object[] | undefined)?.length ?? 0);
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  expect(await readFile(join(home, "workspace/greetings"), "utf8")).toBe("Moin Kiel\ndone\n");

  expect([...older.served]).toEqual(
    expect.arrayContaining([
      `${EXECUTIONS}/updateStatus`,
      `${PKG}.session.v1.SessionQueryController/get`,
      `${PKG}.agentinstance.v1.AgentInstanceQueryController/get`,
      `${PKG}.agent.v1.AgentQueryController/get`,
      `${PKG}.skill.v1.SkillQueryController/getByReference`,
      `${PKG}.environment.v1.EnvironmentQueryController/getByReference`,
    ]),
  );
  // Asked for, and done without.
  expect([...older.refused]).toEqual(
    expect.arrayContaining([
      `${PKG}.runner.v1.RunnerController/hello`,
      `${PKG}.runner.v1.RunnerController/claimExecution`,
    ]),
  );
});

it("a runner that waits for such a server's own queue says what to look at", { timeout: 120_000 }, async () => {
  const { exitCode, stdout, stderr } = await startRunner({ STIGMER_ENGINE: "embedded" }).result;
  expect(exitCode).toBe(1);
  expect(stdout + stderr).toMatch(
    /The server does not give tasks to this runner \(Unimplemented\): .* runs the embedded engine\./,
  );
  expect([...older.refused]).toContain(`${PKG}.runner.v1.RunnerController/takeLeases`);
});
