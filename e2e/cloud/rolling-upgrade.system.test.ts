import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "@stigmer/protos/grpc/health/v1";
import { expect, it } from "vitest";
import { applyAgents, scenario } from "./agents.ts";
import { type AttendedRun, attendRuns, problemsOf, type RunKind, SETTLE_MS } from "./attended-run.ts";
import { startEffects } from "./effects.ts";
import { partsOf, startInstallation } from "./installation.ts";
import { leftoversOfRuns } from "./leftovers.ts";

// What an operator does for each release: servers, then runners, one by one with SIGTERM, while people's runs go on.

const LANES = 6;
const DRAIN_SECONDS = 3;
const KINDS: readonly RunKind[] = ["book", "approve", "delegate", "queued", "keep"];

it("is restarted part by part under live runs, and nobody notices", { timeout: 2 * SETTLE_MS }, async () => {
  await using effects = await startEffects();
  await using cloud = await startInstallation({ scenario, orgs: ["acme"], drainSeconds: DRAIN_SECONDS });
  await applyAgents(cloud.client("acme"), effects.url);
  const runs: AttendedRun[] = [];
  const signal = AbortSignal.timeout(SETTLE_MS);
  let rolling = true;
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    const client = cloud.client("acme");
    for (let turn = 0; rolling; turn++) {
      const kind = KINDS[(lane + turn) % KINDS.length] ?? "book";
      const started = await attendRuns(client, { kind, name: `lane-${lane}-${turn}`, signal });
      runs.push(...started);
      await Promise.all(started.map(({ watched }) => watched));
    }
  });
  const rolled = roll();
  await Promise.all([rolled.finally(() => (rolling = false)), ...lanes]);
  const problems = (await Promise.all(runs.map((run) => problemsOf(run, effects)))).flat();
  problems.push(...(await leftoversOfRuns(cloud)), ...partsOf(cloud).flatMap(({ ends }) => ends));
  if (problems.length > 0) console.log(`What each part printed is in ${await cloud.keepLogs()}`);
  expect(problems, problems.join("\n")).toEqual([]);
  expect(runs.length).toBeGreaterThanOrEqual(LANES);

  async function roll(): Promise<void> {
    const { servers, runners } = cloud.parts;
    for (const [index, server] of servers.entries()) {
      const endpoint = cloud.endpoints[index] ?? "";
      using itself = cloud.client("acme", endpoint);
      const stopped = server.stop();
      expect(await healthOf(endpoint)).toBe("NOT_SERVING");
      // Who has not heard of it yet is served all the same.
      expect((await itself.agents.getByReference({ slug: "bookkeeper" })).metadata?.name).toBe("bookkeeper");
      expect(await stopped).toBe(0);
      await server.start();
      expect(await healthOf(endpoint)).toBe("SERVING");
    }
    const stranger = await cloud.runOneMoreRunner(`--import=${join(import.meta.dirname, "newer-protocol.ts")}`);
    expect(stranger.exitCode).toBe(1);
    expect(stranger.all).toMatch(/protocol 99.*upgrade the server/);
    for (const runner of runners) {
      expect(await runner.stop()).toBe(0);
      await runner.start();
    }
  }
});

/** What the server says of itself, once it says something else than before or after a few seconds the same. */
async function healthOf(endpoint: string): Promise<string> {
  const health = createClient(Health, createGrpcTransport({ baseUrl: `http://${endpoint}` }));
  const signal = AbortSignal.timeout(2_000);
  let last = ServingStatus.UNKNOWN;
  try {
    for await (const { status } of health.watch({}, { signal })) {
      last = status;
      if (status === ServingStatus.NOT_SERVING) break;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return ServingStatus[last];
}
