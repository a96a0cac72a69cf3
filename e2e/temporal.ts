import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePorts } from "./free-ports.ts";

/** Temporal's own dev server, in a process of its own. */
export interface TemporalDevServer {
  readonly address: string;
  readonly namespace: string;
  dispose(): Promise<void>;
}

/**
 * Starts `temporal server start-dev` on a free port of 127.0.0.1. The program is named by `STIGMER_TEST_TEMPORAL`; without it
 * this fails, since a system test that silently did not run proves nothing.
 */
export async function startTemporal(): Promise<TemporalDevServer> {
  const program = process.env["STIGMER_TEST_TEMPORAL"];
  if (!program) throw new Error("STIGMER_TEST_TEMPORAL is not set: it names the Temporal CLI that this test starts.");
  const directory = await mkdtemp(join(tmpdir(), "stigmer-temporal-"));
  const port = await freePorts();
  const where = ["--headless", "--ip", "127.0.0.1", "--port", String(port), "--db-filename", join(directory, "db")];
  const child = spawn(program, ["server", "start-dev", ...where, "--log-level", "never"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const endWithUs = (): void => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  const dispose = async (): Promise<void> => {
    process.off("exit", endWithUs);
    child.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: child.stdout })) {
    // Said once everything is up.
    if (/^(Temporal )?Server:/.test(line)) return { address: `127.0.0.1:${port}`, namespace: "default", dispose };
  }
  await dispose();
  throw new Error(`${program} ended before it was ready.`);
}
