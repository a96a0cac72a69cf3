import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

// A run's end is stored before its lease ends: a runner that died in between has a successor that ends it.
const SETTLED_WITHIN_MS = 30_000;

/**
 * What a server's database still holds of runs that are over, as `1 task leased`, once it had the time to settle: a look from
 * outside, since that is what a next server would find.
 */
export async function findLeftovers(database: string): Promise<readonly string[]> {
  for (const deadline = Date.now() + SETTLED_WITHIN_MS; ; await sleep(50)) {
    const left = read(database);
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

function read(database: string): string[] {
  const db = new DatabaseSync(database, { readOnly: true, timeout: 5_000 });
  try {
    const open = db.prepare("SELECT state, count(*) AS n FROM tasks WHERE state <> 'done' GROUP BY state").all();
    const ledger = db.prepare("SELECT count(*) AS n FROM tool_calls").get();
    return [
      ...open.map(({ state, n }) => `${n} task${n === 1 ? "" : "s"} ${state}`),
      ...(ledger?.["n"] === 0 ? [] : [`${ledger?.["n"]} tool calls in the ledger`]),
    ];
  } finally {
    db.close();
  }
}
