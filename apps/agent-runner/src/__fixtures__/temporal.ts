// Temporal's own dev server as a process with a file for its data: killed, it comes back with all it knew.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChild, type Child } from "./child.ts";
import { freePort } from "./free-port.ts";

export interface TemporalServer extends AsyncDisposable {
  /** `127.0.0.1:<port>`; the same after a restart. */
  readonly address: string;
  kill(): Promise<void>;
  start(): Promise<void>;
}

export async function startTemporal(): Promise<TemporalServer> {
  const program = process.env["STIGMER_TEST_TEMPORAL"];
  if (!program) {
    throw new Error("STIGMER_TEST_TEMPORAL is not set: run `pnpm test:system`, or name a Temporal CLI of your own");
  }
  const directory = await mkdtemp(join(tmpdir(), "stigmer-temporal-"));
  const port = await freePort();
  const args = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", `${port}`];
  args.push("--db-filename", join(directory, "temporal.db"), "--log-level", "never", "--color", "never");
  let running: Child = await startChild(program, args, /Server: +(\S+)/);
  return {
    address: `127.0.0.1:${port}`,
    kill: () => running.end("SIGKILL"),
    async start() {
      running = await startChild(program, args, /Server: +(\S+)/);
    },
    async [Symbol.asyncDispose]() {
      await running.end("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}
