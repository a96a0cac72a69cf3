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
  // Two hundred runs cost Temporal some ten thousand writes to its file, and other suites share the cores.
  it: (name, body) => it(name, { timeout: 300_000 }, body),
  create: async () => {
    const system = await startTemporalSystem(dev, { maxAttempts: 3, retryDelayMs: 10, heartbeatTimeoutMs: 4_000 });
    return Object.assign(system, { patienceMs: 200_000 });
  },
});
