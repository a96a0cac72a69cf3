// What nobody has any use for any more, and is there nevertheless.
import { execa } from "execa";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import type { StigmerClient } from "@stigmer/client";
import type { Installation } from "./installation.ts";

const WITHIN_MS = 90_000;

/** Once all runs have ended. */
export async function leftoversOfRuns(cloud: Installation): Promise<string[]> {
  const database = new Client({ connectionString: cloud.databaseUrl });
  await database.connect();
  try {
    const rows = async (what: string, query: string): Promise<string[]> =>
      left(what, async () => (await database.query<{ id: string }>(query)).rows.map(({ id }) => id));
    return [
      ...(await rows("a task", "SELECT id FROM tasks WHERE state <> 'done'")),
      ...(await rows("a tool call", "SELECT execution_id || ' ' || call_key AS id FROM tool_calls")),
      ...(await rows("an inbox", "SELECT task_id AS id FROM task_inbox")),
      ...(await rows("a run", "SELECT id FROM executions WHERE NOT ended")),
      ...(await rows("a change that is in the snapshot", "SELECT DISTINCT execution_id AS id FROM execution_deltas")),
      ...(await left("a workflow", () => openWorkflows(cloud))),
    ];
  } finally {
    await database.end();
  }
}

/** Once all sessions of these clients are deleted, which this does. */
export async function leftoversOfSessions(cloud: Installation, clients: readonly StigmerClient[]): Promise<string[]> {
  for (const client of clients) {
    for await (const { metadata } of client.sessions.list()) await client.sessions.delete(metadata?.id ?? "");
  }
  const found = await Promise.all([
    left("a container", () => containers(cloud)),
    left("a workspace", () => workspaces(cloud)),
    left("a key of Redis'", () => redisKeys(cloud)),
  ]);
  return found.flat();
}

/** Once servers and runners were stopped. */
export async function leftoversOfParts({ folder }: Installation): Promise<string[]> {
  return left("a process", async () => {
    const found: string[] = [];
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      if (!environment.split("\0").some((line) => line.startsWith(`STIGMER_HOME=${folder}/`))) continue;
      found.push(`${pid} ${(await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " ")}`);
    }
    return found;
  });
}

/** What is still there after a while. */
async function left(what: string, look: () => Promise<readonly string[]>): Promise<string[]> {
  for (const deadline = Date.now() + WITHIN_MS; ;) {
    const found = await look();
    if (found.length === 0) return [];
    if (Date.now() > deadline) return found.map((each) => `${what} was left: ${each}`);
    await sleep(500);
  }
}

/** The ids of the workflows that have not ended. */
export async function openWorkflows({ temporalAddress, folder }: Installation): Promise<string[]> {
  const program = process.env["STIGMER_TEST_TEMPORAL"] ?? "temporal";
  const ask = ["workflow", "list", "--query", "ExecutionStatus='Running'", "--address", temporalAddress];
  const { stdout } = await execa(program, [...ask, "--output", "json"], { env: { HOME: folder }, stdin: "ignore" });
  const open = JSON.parse(stdout || "[]") as readonly { readonly execution: { readonly workflowId: string } }[];
  return open.map(({ execution }) => execution.workflowId);
}

async function redisKeys({ redis: { port, password } }: Installation): Promise<string[]> {
  const ask = ["-p", String(port), "--scan"];
  const { stdout } = await execa("redis-cli", ask, { env: { REDISCLI_AUTH: password }, stdin: "ignore" });
  return lines(stdout);
}

/** Of this installation alone: others may share the engine. */
async function containers({ dockerHost, folder }: Installation): Promise<string[]> {
  const ask = ["--host", dockerHost, "ps", "--all", "--filter", "label=ai.stigmer.sandbox", "--no-trunc"];
  const { stdout } = await execa("docker", [...ask, "--format", "{{.ID}} {{.Labels}}"], { stdin: "ignore" });
  return lines(stdout).filter((line) => line.includes(folder));
}

async function workspaces({ folder }: Installation): Promise<string[]> {
  return readdir(join(folder, "runners", "workspaces")).catch(() => []);
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
