// Writes pairs of a run and its task, several at a time, and prints the id of each pair once it is acknowledged.
import { silentLogger } from "../../../logger.ts";
import { execution, task } from "../../__fixtures__/conformance/executions.ts";
import { openPostgresStore } from "../create-store.ts";

const store = await openPostgresStore({ url: process.argv[2] ?? "", logger: silentLogger });

async function writeForever(lane: number): Promise<never> {
  for (let count = 0; ; count++) {
    const id = `aex-${lane}-${count}`;
    await store.transaction(async (tx) => {
      await tx.executions.insert(execution({ id }));
      await tx.tasks.enqueue(task(id, { sessionId: `ses-${lane}` }));
    });
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all([0, 1, 2, 3].map(writeForever));
