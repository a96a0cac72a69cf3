import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { fuzzAuthenticator, prepareFuzz } from "./__fixtures__/organizations-fuzz.ts";
import type * as AccessModule from "./services/access.ts";
import { startServer } from "./start-server.ts";

// One check less than there is: the fuzz has to see that.
vi.mock("./services/access.ts", async (original) => {
  const access = await original<typeof AccessModule>();
  return {
    ...access,
    createAccess: (mode: "local" | "cloud") => ({ ...access.createAccess(mode), canRead: () => true }),
  };
});

it("is seen by the fuzz when one check of who may read is missing", { timeout: 1_800_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), "stigmer-fuzz-fails-"));
  const engine = { leaseMs: 3_600_000 };
  const server = await startServer({ mode: "cloud", home, port: 0, authenticators: [fuzzAuthenticator], engine });
  try {
    const fuzz = await prepareFuzz(server.endpoint);
    const { leaks } = await fuzz.run({ seed: 1, requests: 600 });
    expect(leaks.length).toBeGreaterThan(10);
    expect(await fuzz.compare({ seed: 1, requests: 60 })).not.toEqual([]);
  } finally {
    await server.close();
    await rm(home, { recursive: true });
  }
});
