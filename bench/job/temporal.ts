// What a run costs on Temporal, without the agent's own time, against as little as a run can be on the same server.
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { Client, Connection } from "@temporalio/client";
import { given, type Parts } from "../parts.ts";
import type { Figure } from "../report.ts";
import { openProgram } from "../server/program.ts";
import type { BareWorker } from "./bare-worker.program.ts";
import { FLOORS, openJob } from "./job.ts";

const WARM_UP = 25;
const ROUNDS = 60;
const TASK_QUEUE = "bare";

/** Temporal is measured when `STIGMER_TEST_TEMPORAL` names its command line. */
export function temporal(): Parts {
  return { temporal: given(["STIGMER_TEST_TEMPORAL"], () => measure(process.env["STIGMER_TEST_TEMPORAL"] ?? "")) };
}

async function measure(program: string): Promise<Figure> {
  await using bench = await openJob({ temporal: program });
  const address = bench.temporalAddress;
  await using worker = openProgram<BareWorker>(new URL("bare-worker.program.ts", import.meta.url));
  await worker.ask("open", { address, taskQueue: TASK_QUEUE });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const samples: number[] = [];
  const baseline: number[] = [];
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    const floor = (await bench.direct()).whole;
    const { id, whole: ours } = await bench.durable();
    await closed(client, id);
    const startedAt = performance.now();
    await client.workflow.execute("bare", { taskQueue: TASK_QUEUE, workflowId: randomUUID() });
    const bare = performance.now() - startedAt;
    if (round < 0) continue;
    samples.push(ours - floor);
    baseline.push(bare);
    if (round % 20 === 19) console.log(`a run on Temporal (${round + 1}/${ROUNDS})`);
  }
  await connection.close();
  return {
    name: `a run on Temporal, over ${FLOORS.direct}`,
    samples,
    baseline: { name: "a workflow of one activity that does nothing", samples: baseline },
    aimRatio: 1.15,
  };
}

/** A run is over before its workflow is: what Temporal still does for it is no part of what comes next. */
async function closed(client: Client, workflowId: string): Promise<void> {
  while ((await client.workflow.getHandle(workflowId).describe()).status.name === "RUNNING") await setTimeout(10);
}
