import { expect, it } from "vitest";
import { makeWorkflowBundle } from "./bundled-workflows.ts";

it("has the descriptors of messages evaluated once for all workflows", async () => {
  const { code } = await makeWorkflowBundle();
  const preload = /exports\.preloadModules = function preloadModules\(\) \{(.*?)\n\}/s.exec(code)?.[1];
  expect(preload).toContain('"./src/temporal/payload-converter.ts"');
});
