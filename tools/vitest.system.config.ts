import { mergeConfig, type ViteUserConfig } from "vitest/config";
import base from "../vitest.config.ts";

const config: ViteUserConfig = mergeConfig(base, {
  root: new URL("..", import.meta.url).pathname,
  test: { testTimeout: 120_000 },
});
config.test = {
  ...config.test,
  include: ["{packages,apps,e2e,examples,tools,proto}/**/*.system.test.ts"],
  exclude: ["**/node_modules/**", "**/*.unprivileged.system.test.ts"],
};

export default config;
