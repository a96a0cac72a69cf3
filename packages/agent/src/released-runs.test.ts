import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, it } from "vitest";
import { collect, openWorkbench, type Workbench } from "./__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

it("keeps nothing of a run that has ended, whoever goes on with the signal that it had", async () => {
  bench = await openWorkbench([
    {
      name: "main",
      turns: [{ toolCalls: [{ name: "execute", args: { command: "echo hello" } }] }, { text: "Done." }],
    },
  ]);
  const worker = new AbortController();
  const runs: WeakRef<object>[] = [];
  for (const runId of ["first", "second", "third", "fourth"]) runs.push(await endedRun(runId, worker.signal));
  const kept = (): number => runs.filter((run) => run.deref() !== undefined).length;
  for (let tries = 0; tries < 20 && kept() > 1; tries++) {
    await turn();
    collectGarbage();
  }
  // A connection to the model that is still open remembers who opened it.
  expect(kept()).toBeLessThanOrEqual(1);
  expect(worker.signal.aborted).toBe(false);
});

/** In a function of its own, so that no variable holds it. */
async function endedRun(runId: string, signal: AbortSignal): Promise<WeakRef<object>> {
  const maskToolOutput = (text: string): string => text;
  const agent = await bench.agent({ maskToolOutput });
  await collect(await agent.open({ threadId: runId, runId, input: "Go." }), { signal });
  return new WeakRef(maskToolOutput);
}
