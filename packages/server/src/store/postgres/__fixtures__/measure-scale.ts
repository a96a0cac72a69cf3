// What the store's own statements take in a Postgres that holds a million runs, a hundred thousand of them waiting: fills an
// empty schema, asks through the store, and prints milliseconds and sizes as JSON. Arguments: how many runs, how many waiting.
import { performance } from "node:perf_hooks";
import { silentLogger } from "../../../logger.ts";
import { execution, task } from "../../__fixtures__/conformance/executions.ts";
import type { Store } from "../../store.ts";
import { openPostgresStore } from "../create-store.ts";
import { createSchema } from "./schemas.ts";

const runs = Number(process.argv[2] ?? 1_000_000);
const waiting = Number(process.argv[3] ?? 100_000);
const ROUNDS = 30;

const schema = await createSchema();
try {
  await (await openPostgresStore({ url: schema.url, logger: silentLogger })).close();
  // Runs of a thousand agents and ten to a session, the newest of which wait.
  await schema.query(
    `INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, created_at, phase, error, started_at, completed_at, revision, ended)
     SELECT 'aex-' || n, 'org-' || n % 100, 'run', '{}', '[]', 'ses-' || n / 10, 'agt-' || n % 1000, n, CASE WHEN n > $1::int - $2::int THEN 1 ELSE 3 END,
       '', '', '', 1, n <= $1::int - $2::int FROM generate_series(1, $1::int) AS n`,
    [runs, waiting],
  );
  await schema.query(
    `INSERT INTO execution_bodies (execution_id, body) SELECT id, decode(repeat(md5(id), 20), 'hex') FROM executions`,
  );
  await schema.query(
    `INSERT INTO tasks (id, kind, queue, session_id, payload, state, created_at)
     SELECT id, 'execute-graphton', 'q', '', '', CASE WHEN ended THEN 'done' ELSE 'waiting' END, created_at FROM executions ORDER BY created_at`,
  );
  await schema.query("ANALYZE");
  const store = await openPostgresStore({ url: schema.url, logger: silentLogger });
  try {
    console.log(JSON.stringify({ runs, waiting, medianMs: await ask(store), bytesPerRun: await sizes() }));
  } finally {
    await store.close();
  }
} finally {
  await schema.drop();
}

async function ask(store: Store): Promise<Record<string, number>> {
  const { executions, queue, retention, tasks } = store;
  const later = runs + 1;
  let made = 0;
  const newRun = (): Promise<void> => {
    const id = `aex-new-${made++}`;
    return store.transaction(async (tx) => {
      await tx.executions.insert(execution({ id, createdAt: later, sessionId: `ses-new-${id}` }));
      await tx.tasks.enqueue(task(id, { sessionId: `ses-new-${id}`, queue: "q" }));
    });
  };
  const questions: Record<string, () => Promise<unknown>> = {
    "a new run with its task": newRun,
    "the next task for a runner": () =>
      queue.lease({ queue: "q", runnerId: "r", now: later, leaseMs: 60_000, maxAttempts: 5 }),
    "how many wait, and since when": () => queue.counts(),
    "a page of all runs": () => executions.list({}, { limit: 50 }),
    "a page of an organisation's runs": () => executions.list({ org: "org-7" }, { limit: 50 }),
    "a page of a session's runs": () => executions.list({ sessionId: "ses-77" }, { limit: 50 }),
    "a run by its id": () => executions.get("aex-777"),
    "a task's state": () => tasks.state("aex-777"),
    "runs that nobody would end (at a start)": () => executions.orphans(),
    "a hundred old runs (retention)": () => retention.finished({ before: later, limit: 100 }),
    "idle sessions, of none (retention)": () => retention.emptySessions({ before: later, limit: 100 }),
  };
  const medians: Record<string, number> = {};
  for (const [name, question] of Object.entries(questions)) {
    const took: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const begun = performance.now();
      await question();
      took.push(performance.now() - begun);
    }
    medians[name] = Number((took.toSorted((a, b) => a - b)[ROUNDS / 2] ?? Number.NaN).toFixed(2));
  }
  return medians;
}

/** Of the queue and the lists: what a run's status takes comes with its length. */
async function sizes(): Promise<Record<string, number>> {
  const rows = await schema.query(
    `SELECT relname AS name, pg_total_relation_size(oid) / $1::int AS bytes FROM pg_class
     WHERE relnamespace = current_schema()::regnamespace AND relname IN ('executions', 'execution_bodies', 'tasks')`,
    [runs],
  );
  return Object.fromEntries(rows.map(({ name, bytes }) => [String(name), Number(bytes)]));
}
