import { join } from "node:path";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { LongFirst } from "./tools/long-first.ts";

// Two tiers. `*.test.ts` needs only Node. `*.system.test.ts` needs real components, or minutes, and runs from tools/test-system.ts.
const conditions = ["@stigmer/source"];

const config: ViteUserConfig = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ["{packages,apps,e2e,examples,tools,proto,bench}/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**", "**/*.system.test.ts", "examples/*/project/**"],
    // Programs that tests start compile the same modules again and again, hundreds of times: a third of their start.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/compile") },
    // Named at the end of the run (tools/second-tries.ts). On a desk a test that fails has failed.
    retry: process.env["CI"] ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: "forks",
    sequence: { sequencer: LongFirst },
    // Most of the time goes into waiting for processes that tests start, so that a core less is no help.
    maxWorkers: "100%",
  },
});

export default config;
