import type { Homes } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { type DaemonState, readState } from "../../daemon/daemon-state.ts";
import { daemonFiles } from "../../daemon/find-daemon.ts";
import { withProgress } from "../../output/progress.ts";

const LOOK_EVERY_MS = 200;
/** What takes longer tells how long it has been. */
const LONG_MS = 3_000;

/** Does `work`, which starts or stops a home's daemon, and shows on a terminal which of its processes is being waited for. */
export async function withDaemonProgress<T>(
  { homes, verb }: { readonly homes: Pick<Homes, "runDir">; readonly verb: "Starting" | "Stopping" },
  io: Pick<CommandIo, "stderr" | "env">,
  work: () => Promise<T>,
): Promise<T> {
  const { stateFile } = daemonFiles(homes);
  const began = Date.now();
  return await withProgress(io, `${verb} stigmer-server and agent-runner`, async (tell) => {
    const timer = setInterval(() => {
      const elapsed = Date.now() - began;
      const time = elapsed < LONG_MS ? "" : ` (${Math.floor(elapsed / 1000)} s)`;
      tell(`${verb} ${waitedFor(verb, readState(stateFile)) ?? "stigmer-server and agent-runner"}${time}`);
    }, LOOK_EVERY_MS);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  });
}

function waitedFor(verb: "Starting" | "Stopping", state: DaemonState | undefined): string | undefined {
  // One after the other: who needs another starts after it, and stops before it.
  if (verb === "Starting") return state?.processes.findLast(({ state: each }) => each === "starting")?.name;
  const name = state?.processes.findLast(({ state: each }) => each !== "stopped")?.name;
  return name === "agent-runner" ? "agent-runner, which hands back what it can't finish" : name;
}
