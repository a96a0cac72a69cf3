// Writes pairs of a run and its task, several at a time, and prints the id of each pair once it is acknowledged.
import { execution, task } from "../../__fixtures__/conformance/executions.ts";
import { openSqliteStore } from "../create-store.ts";

const store = openSqliteStore({ dataDir: process.argv[2] ?? "" });

async function writeForever(lane: number): Promise<never> {
  for (let count = 0; ; count++) {
    const id = `aex-${lane}-${count}`;
    await store.transaction(async (tx) => {
      await tx.executions.insert(execution({ id }));
      await tx.tasks.enqueue(task(id));
    });
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(writeForever));
