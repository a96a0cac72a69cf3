import { afterAll, beforeAll, describe, it } from "vitest";
import { engineConformance } from "../conformance/index.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import { startTemporalSystem } from "./__fixtures__/temporal-system.ts";

let dev: DevServer;
beforeAll(async () => {
  dev = await startDevServer({ namespaces: 60 });
});
afterAll(() => dev.dispose());

engineConformance({
  name: "temporal",
  describe,
  it,
  create: async () => {
    const system = await startTemporalSystem(dev, { maxAttempts: 3, retryDelayMs: 10, heartbeatTimeoutMs: 1_500 });
    // A run costs Temporal some forty writes to its file, and all test files share two cores.
    return Object.assign(system, { patienceMs: 60_000 });
  },
});
