import { mergeConfig, type ViteUserConfig } from "vitest/config";
import base from "../vitest.config.ts";

const config: ViteUserConfig = mergeConfig(base, {
  root: new URL("..", import.meta.url).pathname,
  // This user can't write into the checkout.
  cacheDir: process.env["STIGMER_TEST_CACHE"],
});
config.test = {
  ...config.test,
  include: ["{packages,apps,e2e}/**/*.unprivileged.system.test.ts"],
  exclude: ["**/node_modules/**"],
};

export default config;
