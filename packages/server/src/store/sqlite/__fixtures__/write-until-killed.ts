// Writes pairs of a run and its task, several at a time, and prints the id of each pair once it is acknowledged; with "lease" the task
// is leased at the same moment.
import { execution, task } from "../../__fixtures__/conformance/executions.ts";
import { openSqliteStore } from "../create-store.ts";

const store = openSqliteStore({ dataDir: process.argv[2] ?? "" });
const isLeased = process.argv[3] === "lease";

async function writeForever(lane: number): Promise<never> {
  for (let count = 0; ; count++) {
    const id = `aex-${lane}-${count}`;
    const storing = store.transaction(async (tx) => {
      await tx.executions.insert(execution({ id }));
      await tx.tasks.enqueue(task(id, { sessionId: "" }));
    });
    const lease = { queue: "q", runnerId: "r1", now: 0, leaseMs: 1_000, maxAttempts: 5 };
    const leasing = isLeased && store.queue.lease(lease);
    await Promise.all([storing, leasing]);
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(writeForever));
