// The whole suite through the real SDK against a local server. What that server does with processes proves nothing about
// Daytona: this shows the driver's protocol and its deadlines.
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSandboxConformance } from "@stigmer/sandbox/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";
import { apiKey, startDaytonaServer, type DaytonaServer } from "./__fixtures__/daytona-server.ts";
import { daytonaCapabilities } from "./capabilities.ts";
import { createDaytonaSandbox } from "./index.ts";

let directory: string;
let server: DaytonaServer;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "daytona-sandbox-")));
  server = await startDaytonaServer();
});

afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

/** All sandboxes of the local server share this machine, so that each gets a root of its own. */
const roots = new Map<string, string>();
let made = 0;

describeSandboxConformance(
  {
    name: "daytona",
    capabilities: daytonaCapabilities(),
    slackMs: 1000,
    skip: [
      {
        test: "hostile: there is no way out when the network is off",
        reason: "the local server shuts nothing off; failures.test.ts shows what Daytona is asked for",
      },
    ],
    async create({ id, ...wish }) {
      const rootDir = roots.get(id ?? "") ?? join(directory, `root-${made++}`);
      const options = {
        apiKey,
        apiUrl: server.apiUrl,
        target: "local",
        rootDir,
        ...(id !== undefined && { id }),
        ...wish,
      };
      const sandbox = await createDaytonaSandbox(options);
      roots.set(sandbox.id, rootDir);
      return sandbox;
    },
  },
  { describe, it },
);
