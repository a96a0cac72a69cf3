import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { testEngine } from "../docker/__fixtures__/test-engine.ts";
import { createDockerSandbox } from "../docker/index.ts";
import { createIsolatedSandbox } from "../isolated/index.ts";
import { describeDeepAgent } from "./__fixtures__/describe-deep-agent.ts";

// With the real bubblewrap and the real Docker engine.

const { host, image } = testEngine();
let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "deep-agent-")));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

describeDeepAgent("isolated", () => createIsolatedSandbox({ rootDir: join(directory, "isolated") }));
describeDeepAgent("docker", () =>
  createDockerSandbox({ host, image, pull: "never", rootDir: join(directory, "docker") }),
);
