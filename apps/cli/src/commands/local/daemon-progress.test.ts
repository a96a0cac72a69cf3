import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { type ProcessState, writeState } from "../../daemon/daemon-state.ts";
import { daemonFiles } from "../../daemon/find-daemon.ts";
import { withDaemonProgress } from "./daemon-progress.ts";

type Phase = ProcessState["state"];

async function shown(
  verb: "Starting" | "Stopping",
  phases: readonly (readonly [server: Phase, runner: Phase, text: string])[],
): Promise<string> {
  const runDir = await mkdtemp(join(tmpdir(), "stigmer-progress-"));
  onTestFinished(() => rm(runDir, { recursive: true }));
  let written = "";
  // As `docker exec -t` and serial lines have it: a terminal without a size.
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 0, rows: 0 });
  const drawn = (text: string): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => void (written.includes(text) && (stderr.off("data", check), resolve()));
      stderr.on("data", check);
      check();
    });
  stderr.on("data", (chunk) => (written += String(chunk)));
  const process = (name: ProcessState["name"], state: Phase): ProcessState => ({
    name,
    pid: 1,
    state,
    restarts: 0,
    lastError: "",
  });
  await withDaemonProgress({ homes: { runDir }, verb }, { stderr, env: {} }, async () => {
    for (const [server, runner, text] of phases) {
      writeState(daemonFiles({ runDir }).stateFile, {
        pid: 1,
        startedAt: "",
        state: "starting",
        dataDir: "",
        logsDir: "",
        endpoint: "",
        engine: "embedded",
        processes: [process("stigmer-server", server), process("agent-runner", runner)],
      });
      await drawn(`${text}\n`);
    }
  });
  return stripVTControlCharacters(written);
}

test("a start tells which process it waits for", async () => {
  const text = await shown("Starting", [
    ["starting", "stopped", "Starting stigmer-server"],
    ["running", "starting", "Starting agent-runner"],
  ]);
  expect(text).toMatch(/^⠋ Starting /);
});

test("a stop tells it too", async () => {
  await shown("Stopping", [
    ["running", "stopping", "Stopping agent-runner, which hands back what it can't finish"],
    ["stopping", "stopped", "Stopping stigmer-server"],
  ]);
});
