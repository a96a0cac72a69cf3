// A server that is killed again and again while several writers are at work, and what must be true of its files each time.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { zipSync } from "fflate";
import { given } from "../services/__fixtures__/open-test-server.ts";

type Child = ChildProcessByStdio<null, Readable, null>;

/** A value that only grows: the stored one lies between what was acknowledged and what was asked for. */
interface Counter {
  asked: number;
  acknowledged: number;
}

/** What the server said that it has. */
export interface Acknowledged {
  readonly executions: Set<string>;
  /** By the agent's slug: the number in its instructions. */
  readonly agents: Map<string, Counter>;
  /** By execution: the highest revision that a change of its status was answered with. */
  readonly revisions: Map<string, number>;
  /** By execution: the fence of the lease that was handed out. */
  readonly fences: Map<string, number>;
  /** `<execution> <message id>`. */
  readonly messages: Set<string>;
  /** Keys of artifacts. */
  readonly artifacts: Set<string>;
}

const SERVER = fileURLToPath(new URL("./run-server.ts", import.meta.url));

/** Runs the load over so many lives of the server, each ended by `kill -9`; after each calls `check` with the files as they were left. */
export async function killUnderLoad(
  home: string,
  kills: number,
  check: (left: { dataDir: string; acknowledged: Acknowledged; kill: number }) => void,
): Promise<Acknowledged> {
  const acknowledged: Acknowledged = {
    executions: new Set(),
    agents: new Map(),
    revisions: new Map(),
    fences: new Map(),
    messages: new Set(),
    artifacts: new Set(),
  };
  for (let kill = 1; kill <= kills; kill++) {
    await oneLife(home, kill, acknowledged);
    check({ dataDir: join(home, "data"), acknowledged, kill });
  }
  return acknowledged;
}

async function oneLife(home: string, life: number, acknowledged: Acknowledged): Promise<void> {
  const child: Child = spawn(process.execPath, ["--conditions=@stigmer/source", SERVER, home], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const exited = once(child, "exit");
    const transport = await connectTo(child, home);
    const first = Promise.withResolvers<void>();
    const lanes = lanesOf(transport, { life, acknowledged, acknowledge: first.resolve });
    const ended = Promise.allSettled(lanes.map((lane) => lane()));
    await Promise.race([first.promise, ended]);
    await sleep(Math.random() * 300);
    child.kill("SIGKILL");
    await exited;
    // Each lane ends with the server.
    const failed = (await ended).find(({ status }) => status === "fulfilled");
    if (failed) throw new Error("A lane ended by itself.");
  } finally {
    child.kill("SIGKILL");
  }
}

async function connectTo(child: Child, home: string): Promise<Transport> {
  const [endpoint] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  if (!endpoint.startsWith("127.0.0.1:")) throw new Error(`The server did not start: ${endpoint}`);
  const apiKey = readFileSync(join(home, "local.key"), "utf8").trim();
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${endpoint}`, interceptors: [authorize] });
}

interface Life {
  readonly life: number;
  readonly acknowledged: Acknowledged;
  /** Something was acknowledged in this life. */
  acknowledge(): void;
}

/** Writers that go on until the server dies under them. */
function lanesOf(transport: Transport, { life, acknowledged, acknowledge }: Life): (() => Promise<never>)[] {
  const agents = createClient(AgentCommandController, transport);
  const executions = createClient(AgentExecutionCommandController, transport);
  const skills = createClient(SkillCommandController, transport);
  const runner = createClient(RunnerController, transport);

  async function createExecutions(): Promise<never> {
    const agent = await agents.apply(given.agent("worker"));
    for (;;) {
      const created = await executions.create(
        given.execution({ agentId: agent.metadata?.id }, { tags: ["load"], labels: { life: String(life) } }),
      );
      acknowledged.executions.add(created.metadata?.id ?? "");
      acknowledge();
    }
  }

  async function applyAgents(): Promise<never> {
    for (let round = 0; ; round++) {
      const slug = `agent-${round % 3}`;
      const counter = acknowledged.agents.get(slug) ?? { asked: 0, acknowledged: 0 };
      acknowledged.agents.set(slug, counter);
      counter.asked++;
      const value = counter.asked;
      await agents.apply(given.agent(slug, { instructions: `You count to ${value}.` }));
      counter.acknowledged = value;
    }
  }

  async function patchUnderLease(): Promise<never> {
    const capacity = { runnerId: `r${life}`, taskQueue: "agent_execution_runner", maxConcurrency: 1 };
    for await (const { event } of runner.takeLeases(capacity)) {
      if (event.case !== "lease") continue;
      const { taskId: executionId, fence } = event.value;
      acknowledged.fences.set(executionId, fence);
      for (let sequence = 1; ; sequence++) {
        const delta = { changes: [{ change: { case: "run" as const, value: { error: `change ${sequence}` } } }] };
        const { revision } = await executions.patchStatus({ executionId, fence, sequence, delta });
        acknowledged.revisions.set(executionId, revision);
      }
    }
    throw new Error("The leases ended.");
  }

  async function sendMessages(): Promise<never> {
    for (let round = 0; ; round++) {
      const executionId = [...acknowledged.executions].at(-1);
      if (executionId === undefined) {
        await sleep(1);
        continue;
      }
      const messageId = `m-${life}-${round}`;
      await executions.sendMessage({ executionId, messageId, text: "Hear me." });
      acknowledged.messages.add(`${executionId} ${messageId}`);
    }
  }

  async function pushSkills(): Promise<never> {
    for (;;) {
      const skillMd = "---\nname: noise\ndescription: Makes noise.\n---\nBody\n";
      const artifact = zipSync({ "SKILL.md": Buffer.from(skillMd), noise: randomBytes(20_000) });
      const pushed = await skills.push({ name: "noise", artifact });
      acknowledged.artifacts.add(pushed.status?.artifactStorageKey ?? "");
    }
  }

  return [createExecutions, createExecutions, applyAgents, patchUnderLease, sendMessages, pushSkills];
}

/**
 * What is wrong with the files that a killed server left, in words; nothing when all is well. Looks at a copy, so that the next
 * server has to find its way in what was really left.
 */
export function faultsIn(dataDir: string, acknowledged: Acknowledged): string[] {
  const copy = mkdtempSync(join(tmpdir(), "stigmer-left-"));
  try {
    for (const name of ["stigmer.db", "stigmer.db-wal"]) {
      if (existsSync(join(dataDir, name))) copyFileSync(join(dataDir, name), join(copy, name));
    }
    using database = new DatabaseSync(join(copy, "stigmer.db"));
    return [
      ...soundnessOf(database),
      ...missingIn(database, acknowledged),
      ...[...acknowledged.artifacts].filter((key) => !isWhole(dataDir, key)).map((key) => `artifact ${key}`),
    ];
  } finally {
    rmSync(copy, { recursive: true });
  }
}

function soundnessOf(database: DatabaseSync): string[] {
  const rows = (sql: string): string[] => database.prepare(sql).all().map((row) => `${sql}: ${JSON.stringify(row)}`);
  return [
    ...rows("PRAGMA integrity_check").filter((row) => !row.endsWith('{"integrity_check":"ok"}')),
    ...rows("PRAGMA foreign_key_check"),
    // Nothing is there by half: what is written together is there together.
    ...rows("SELECT id AS without_task FROM executions WHERE id NOT IN (SELECT id FROM tasks)"),
    ...rows("SELECT id AS without_body FROM executions WHERE position NOT IN (SELECT execution FROM execution_bodies)"),
    ...rows("SELECT id AS without_mark FROM executions WHERE id NOT IN (SELECT id FROM execution_marks)"),
    ...rows(`SELECT id AS with_gap_in_log FROM executions
      JOIN execution_deltas AS log ON execution = position
      GROUP BY id HAVING count(*) <> max(log.revision) - executions.revision`),
    ...rows(`SELECT id AS with_another_snapshot FROM executions JOIN execution_snapshots ON execution = position
      WHERE execution_snapshots.revision <> executions.revision`),
    ...rows(`SELECT id AS without_instance FROM resources AS agent WHERE kind = 'Agent'
      AND NOT EXISTS (SELECT 1 FROM resources WHERE kind = 'AgentInstance' AND parent_id = agent.id)`),
  ];
}

function missingIn(database: DatabaseSync, acknowledged: Acknowledged): string[] {
  const missing: string[] = [];
  const numbers = (sql: string): Map<string, number> =>
    new Map(database.prepare(sql).all().map(({ id, value }) => [String(id), Number(value)]));
  const revisions = numbers(`SELECT id, coalesce(max(log.revision), executions.revision) AS value
    FROM executions LEFT JOIN execution_deltas AS log ON execution = position GROUP BY id`);
  // On a slow machine leases run out. A run that was lost five times is ended by the server, and its inbox forgotten then.
  const over = numbers(`SELECT tasks.id AS id, attempt = 5 AND ended AS value
    FROM tasks LEFT JOIN executions ON executions.id = tasks.id WHERE state = 'done'`);
  for (const [id, rightly] of over) if (rightly !== 1) missing.push(`task ${id}: over, and nobody ended it`);
  for (const id of acknowledged.executions) if (!revisions.has(id)) missing.push(`execution ${id}`);
  for (const [id, revision] of acknowledged.revisions) {
    const stored = revisions.get(id) ?? 0;
    // One more may have been stored, and its answer lost.
    if (stored < revision || stored > revision + (over.has(id) ? 2 : 1)) missing.push(`status of ${id}: ${revision}, stored ${stored}`);
  }
  const fences = numbers("SELECT id, fence AS value FROM tasks");
  for (const [id, fence] of acknowledged.fences) {
    if ((fences.get(id) ?? 0) < fence) missing.push(`lease of ${id} under fence ${fence}`);
  }
  const messages = new Set(
    database.prepare("SELECT task_id || ' ' || id AS message FROM task_inbox").all().map(({ message }) => message),
  );
  for (const message of acknowledged.messages) {
    if (!messages.has(message) && !over.has(message.split(" ")[0] ?? "")) missing.push(`message ${message}`);
  }
  const agents = database.prepare("SELECT slug, body FROM resources WHERE kind = 'Agent'").all();
  for (const [slug, { asked, acknowledged: sure }] of acknowledged.agents) {
    const body = agents.find((row) => row["slug"] === slug)?.["body"] ?? new Uint8Array();
    const count = Number(/You count to (\d+)\./.exec(Buffer.from(body as Uint8Array).toString("latin1"))?.[1] ?? 0);
    if (count < sure || count > asked) missing.push(`${slug}: ${sure} to ${asked}, stored ${count}`);
  }
  return missing;
}

function isWhole(dataDir: string, key: string): boolean {
  const path = join(dataDir, "artifacts", `${key}.zip`);
  return existsSync(path) && createHash("sha256").update(readFileSync(path)).digest("hex") === key;
}
