import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { engineConformance } from "../conformance/index.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import { startTemporalSystem } from "./__fixtures__/temporal-system.ts";

// Two hundred runs cost Temporal some ten thousand writes to its file, and other suites share the cores.
vi.setConfig({ testTimeout: 300_000 });

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
    const system = await startTemporalSystem(dev, { maxAttempts: 3, retryDelayMs: 10, heartbeatTimeoutMs: 4_000 });
    return Object.assign(system, { patienceMs: 200_000 });
  },
});
