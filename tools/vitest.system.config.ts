import { mergeConfig, type ViteUserConfig } from "vitest/config";
import base from "../vitest.config.ts";

const config: ViteUserConfig = mergeConfig(base, {
  root: new URL("..", import.meta.url).pathname,
  // Real processes on few cores: two files at a time, and room for slow starts. What takes long by its nature says so itself.
  test: { testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 2 },
});
config.test = {
  ...config.test,
  include: ["{packages,apps,e2e,examples,tools,proto}/**/*.system.test.ts"],
  exclude: ["**/node_modules/**", "**/*.unprivileged.system.test.ts"],
};

export default config;
