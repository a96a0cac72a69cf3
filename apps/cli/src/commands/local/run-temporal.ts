import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { isAlive } from "../../daemon/is-alive.ts";
import { makeDirectory } from "../../daemon/make-directory.ts";
import { tellParent } from "../../daemon/tell-parent.ts";
import { findPort, untilServing } from "../chaos/temporal-server.ts";

export interface RunTemporalOptions {
  /** Temporal's command line. */
  readonly program: string;
  /** 0 takes any free one. */
  readonly port?: number;
}

/** The daemon's child that stands for Temporal's dev server: what ends here ends there, and the other way round. */
export async function runTemporal({ program, port: wanted = 0 }: RunTemporalOptions, io: CommandIo): Promise<number> {
  const { dataDir, runDir } = resolveHome(io.env);
  const database = join(dataDir, "temporal.db");
  const pidFile = join(runDir, "temporal.pid");
  makeDirectory(dataDir);
  makeDirectory(runDir);
  await endFormer(pidFile, database);

  const port = wanted === 0 ? await findPort() : wanted;
  const where = ["--headless", "--ip", "127.0.0.1", "--port", String(port), "--db-filename", database];
  const home = join(runDir, "temporal");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const child = spawn(program, ["server", "start-dev", ...where, "--log-format", "json", "--log-level", "warn"], {
    // Its own settings file, and what it caches, are not the user's.
    env: { PATH: io.env["PATH"], TMPDIR: io.env["TMPDIR"], HOME: home },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = Promise.race([
    once(child, "exit").then(([code, signal]) => `ended by ${signal ?? `exit code ${code}`}`),
    once(child, "error").then(([error]) => `could not be started: ${(error as Error).message}`),
  ]);
  if (child.pid !== undefined) writeFileSync(pidFile, String(child.pid), { mode: 0o600 });
  const stop = (): void => void child.kill("SIGTERM");
  const stopListening = io.onSignal(stop);
  process.once("disconnect", stop);
  if (process.send && !process.connected) stop();
  try {
    await untilServing(port, ended);
    await tellParent({ type: "ready", port });
    await ended;
    return child.exitCode ?? (child.signalCode === "SIGTERM" ? 0 : 1);
  } catch (error) {
    child.kill("SIGKILL");
    await tellParent({ type: "failed", message: (error as Error).message });
    return 1;
  } finally {
    rmSync(pidFile, { force: true });
    process.off("disconnect", stop);
    stopListening();
    if (process.connected) process.disconnect();
  }
}

const ENDS_WITHIN_MS = 5_000;

/** One whose keeper was killed still has the port and the database. Its command line tells it from a stranger with its id. */
async function endFormer(pidFile: string, database: string): Promise<void> {
  const pid = Number(read(pidFile));
  if (!(pid > 0) || !(await commandOf(pid)).includes(database)) return;
  process.kill(pid, "SIGTERM");
  for (const deadline = Date.now() + ENDS_WITHIN_MS; isAlive(pid); await sleep(25)) {
    if (Date.now() < deadline) continue;
    process.kill(pid, "SIGKILL");
    return;
  }
}

async function commandOf(pid: number): Promise<string> {
  if (process.platform === "linux") return read(`/proc/${pid}/cmdline`);
  const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({
    stdout: "",
  }));
  return stdout;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
