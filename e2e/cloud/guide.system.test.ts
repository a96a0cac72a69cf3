import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { Started } from "../stigmer.ts";
import { makeCertificate } from "./certificates.ts";
import { type Ground, openGround } from "./ground.ts";
import { type GuideBlock, readGuide, runBlock, startBlock } from "./guide-blocks.ts";
import { createPart, type Part } from "./part.ts";
import { findPort } from "./services.ts";

// docs/guides/cloud.md as it stands: its commands in their order, with the addresses and keys of this machine in the place of its
// examples. What a block exports is all that its program gets, so that the guide leaves no variable out.

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Blocks that are run by others, found by these words. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "docker build": "e2e/images builds both images from these files, and runs them",
  pg_dump: "restore.system.test.ts",
  pg_restore: "restore.system.test.ts",
  "server end-runs": "restore.system.test.ts",
};

let ground: Ground;
let model: ScriptedModel;
let blocks: readonly GuideBlock[];
const taken = new Set<GuideBlock>();
const started: Started[] = [];
const parts: Part[] = [];
const keys = { owner: "", runner: "" };
/** Of the server at work. */
let endpoint = "";
let server: Started;
let runner: Started;
let metricsPort: number;
beforeAll(async () => {
  ground = await openGround();
  model = await startScriptedModel({
    scenario: {
      name: "cloud guide",
      scenarios: [
        {
          name: "greets",
          match: { human: "Bonjour" },
          turns: [
            { toolCalls: [{ name: "execute", args: { command: "echo salut" } }] },
            { text: 'Bonjour, et {{ result("execute", "(salut)") }} !' },
          ],
        },
      ],
    },
  });
  blocks = await readGuide("cloud");
  metricsPort = await findPort();
});
afterAll(async () => {
  for (const each of started.toReversed()) await stop(each);
  for (const part of parts) await part.stop();
  await ground?.[Symbol.asyncDispose]();
  await model?.close();
});

/** The block of a section with these words, which is then taken for run. */
function blockOf(section: string, words: string): GuideBlock | undefined {
  const block = blocks.find((each) => each.section === section && each.text.includes(words));
  if (block) taken.add(block);
  return block;
}

/** As Ctrl-C in its terminal, to all of its process group. */
async function stop({ process: shell, result }: Started): Promise<void> {
  if (shell.exitCode === null && shell.pid !== undefined) process.kill(-shell.pid, "SIGTERM");
  await result;
}

/** What is this machine's own, and no business of the guide's. */
const serverMachine = (): Record<string, string> => ({
  STIGMER_HOME: join(ground.folder, "server"),
  STIGMER_LISTEN_HOST: "127.0.0.1",
  STIGMER_PORT: "0",
  STIGMER_DRAIN_SECONDS: "0",
  STIGMER_METRICS_PORT: String(metricsPort),
});
const runnerMachine = (): Record<string, string> => {
  const { DOCKER_HOST, SANDBOX_DOCKER_IMAGE, SANDBOX_DOCKER_PULL } = ground.runnerEnv({ endpoint: "", apiKey: "" });
  return {
    STIGMER_HOME: join(ground.folder, "runners"),
    STIGMER_RUNNER_HEALTH_PORT: "0",
    ANTHROPIC_BASE_URL: model.url,
    DOCKER_HOST: DOCKER_HOST ?? "",
    SANDBOX_DOCKER_IMAGE: SANDBOX_DOCKER_IMAGE ?? "",
    SANDBOX_DOCKER_PULL: SANDBOX_DOCKER_PULL ?? "",
  };
};
const examples = (apiKey = ""): Record<string, string> => ({
  ...ground.serverEnv,
  ...ground.runnerEnv({ endpoint, apiKey }),
  ANTHROPIC_API_KEY: "scripted-model-key",
});

async function startServer(
  block: GuideBlock | undefined,
  more: { env?: Record<string, string>; values?: Record<string, string> } = {},
): Promise<void> {
  server = await startBlock(block, {
    folder: ground.folder,
    env: { ...serverMachine(), ...more.env },
    values: { ...examples(), ...more.values },
  });
  started.push(server);
  await server.printed(/stigmer-server is ready on \S+\n/);
  endpoint = /stigmer-server is ready on (?<endpoint>\S+)/.exec(server.output())?.groups?.["endpoint"] ?? "";
}

it("brings up a server and a runner, makes the keys, and runs an agent", async () => {
  await startServer(blockOf("First start", "stigmer server run"));
  const printed = await runBlock(blockOf("First start", "create-key"), {
    folder: ground.folder,
    env: ground.serverEnv,
  });
  [keys.owner = "", keys.runner = ""] = printed.match(/^stk_\S+$/gm) ?? [];
  runner = await startBlock(blockOf("First start", "stigmer-agent-runner"), {
    folder: ground.folder,
    env: runnerMachine(),
    values: examples(keys.runner),
  });
  started.push(runner);
  await runner.printed("Worker ready");

  const manifest = blockOf("First start", "kind: Agent");
  await writeFile(
    join(ground.folder, /title="(.*)"/.exec(manifest?.language ?? "")?.[1] ?? "none"),
    manifest?.text ?? "",
  );
  const said = await runBlock(blockOf("First start", "stigmer apply"), {
    folder: ground.folder,
    env: {},
    values: examples(keys.owner),
  });
  expect(said).toContain("Bonjour, et salut !");
});

it("tells the audit log, and the metrics of a server", async () => {
  const env = { STIGMER_BACKEND_ENDPOINT: endpoint, STIGMER_API_KEY: keys.owner };
  const { stdout: agents } = await ground.stigmer(["list", "agents", "-o", "json"], env).result;
  const agent = /agt-[0-9a-z]{26}/.exec(agents)?.[0] ?? "";
  const { stdout: listed } = await ground.stigmer(["key", "list"], env).result;
  const key = /key-[0-9a-z]{26}/.exec(listed)?.[0] ?? "";
  const values = { "agt-01k9…": agent, "key-01k8…": key };
  const audit = await runBlock(blockOf("Audit", "audit list"), { folder: ground.folder, env, values });
  expect(audit).toMatch(/AgentExecutionCommandController|create/);
  expect(audit).toContain(agent);

  const metrics = await runBlock(blockOf("Metrics", "/metrics"), {
    folder: ground.folder,
    env: { STIGMER_SERVER_HOST: "127.0.0.1" },
    values: { ":9464": `:${metricsPort}` },
  });
  expect(metrics).toContain('stigmer_server_dependency_up{dependency="redis"} 1');
});

it("serves TLS, and needs no more of Redis than its list of rights says", async () => {
  await stop(runner);
  await stop(server);
  const [ours, redis] = [await makeCertificate(ground.folder, "tls"), await makeCertificate(ground.folder, "redis")];
  const port = await findPort();
  const user = blockOf("Redis", "user stigmer")?.text.replace("PASSWORD", "a-password-of-redis");
  const tls = [
    `tls-port ${port}`,
    "port 0",
    `tls-cert-file ${redis.certFile}`,
    `tls-key-file ${redis.keyFile}`,
    "tls-auth-clients no",
  ];
  const part = createPart({
    name: "redis-tls",
    command: ["redis-server", "-"],
    cwd: ground.folder,
    stdin: ["bind 127.0.0.1", ...tls, 'save ""', "user default off", user, ""].join("\n"),
    ready: /Ready to accept connections/,
  });
  parts.push(part);
  await part.start();
  const redisValues = {
    REDIS_HOST: "127.0.0.1",
    REDIS_PORT: String(port),
    REDIS_USERNAME: "stigmer",
    REDIS_PASSWORD: "a-password-of-redis",
    "/etc/stigmer/redis-ca.pem": redis.caFile,
  };
  // What it exports goes before the commands of the others.
  const exported = blockOf("Redis", "REDIS_TLS");
  const before = (block: GuideBlock | undefined): GuideBlock | undefined => {
    if (!block || !exported) return undefined;
    const lines = block.text.split("\n").filter((line) => !line.startsWith("export REDIS_HOST"));
    return { ...block, text: `${exported.text}${lines.join("\n")}` };
  };
  const { REDIS_HOST: _host, REDIS_PORT: _port, REDIS_PASSWORD: _password, ...env } = ground.serverEnv;
  const files = { "/etc/stigmer/tls.crt": ours.certFile, "/etc/stigmer/tls.key": ours.keyFile };
  await startServer(before(blockOf("TLS", "--tls-cert")), {
    env: { ...env, ...serverMachine() },
    values: { ...redisValues, ...files },
  });
  expect(endpoint).toMatch(/^https:/);
  runner = await startBlock(before(blockOf("First start", "stigmer-agent-runner")), {
    folder: ground.folder,
    env: { ...runnerMachine(), STIGMER_TLS_CA_FILE: ours.caFile },
    values: { ...examples(keys.runner), ...redisValues },
  });
  started.push(runner);
  await runner.printed("Worker ready");
  const said = await runBlock(blockOf("First start", "stigmer apply"), {
    folder: ground.folder,
    env: { STIGMER_TLS_CA_FILE: ours.caFile },
    values: examples(keys.owner),
  });
  expect(said).toContain("Bonjour, et salut !");
  const up = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((response) => response.text());
  expect(up).toContain('stigmer_server_dependency_up{dependency="redis"} 1');
  expect(server.output() + runner.output()).not.toContain("NOPERM");
});

it("has no block that is neither run here nor by another test", () => {
  const left = blocks.filter(
    (block) => !taken.has(block) && !Object.keys(ELSEWHERE).some((words) => block.text.includes(words)),
  );
  expect(left.map(({ section, text }) => `${section}: ${text}`)).toEqual([]);
  for (const words of Object.keys(ELSEWHERE))
    expect(
      blocks.some(({ text }) => text.includes(words)),
      words,
    ).toBe(true);
});
