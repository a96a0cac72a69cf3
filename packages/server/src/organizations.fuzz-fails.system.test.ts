import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { fuzzAuthenticator, prepareFuzz } from "./__fixtures__/organizations-fuzz.ts";
import { isRunnersOwn } from "./__fixtures__/runners-own.ts";
import type * as AccessModule from "./services/access.ts";
import type * as LedgerModule from "./store/ledger-store.ts";
import { startServer } from "./start-server.ts";

/** Which checks are in place. */
const mends = vi.hoisted(() => ({ access: true, ledger: true }));

// One check less than there is: the fuzz has to see that.
vi.mock("./services/access.ts", async (original) => {
  const access = await original<typeof AccessModule>();
  return {
    ...access,
    createAccess: (mode: "local" | "cloud") => {
      const real = access.createAccess(mode);
      const canRead: typeof real.canRead = (...asked) => !mends.access || real.canRead(...asked);
      return { ...real, canRead };
    },
  };
});

vi.mock("./store/ledger-store.ts", async (original) => {
  const ledger = await original<typeof LedgerModule>();
  const ledgerRefusalOf: typeof ledger.ledgerRefusalOf = (asked, state) =>
    mends.ledger ? ledger.ledgerRefusalOf(asked, state) : undefined;
  return { ...ledger, ledgerRefusalOf };
});

it("is seen by the fuzz when one check of who may read is missing", { timeout: 1_800_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), "stigmer-fuzz-fails-"));
  const engine = { leaseMs: 3_600_000 };
  const server = await startServer({ mode: "cloud", home, port: 0, authenticators: [fuzzAuthenticator], engine });
  try {
    const fuzz = await prepareFuzz(server.endpoint);
    mends.access = false;
    const { leaks } = await fuzz.run({ seed: 1, requests: 600 });
    expect(leaks.length).toBeGreaterThan(10);
    expect(await fuzz.compare({ seed: 1, requests: 60 })).not.toEqual([]);
  } finally {
    mends.access = true;
    await server.close();
    await rm(home, { recursive: true });
  }
});

it("is seen by the fuzz when the ledger takes entries under any fence", { timeout: 1_800_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), "stigmer-fuzz-fails-"));
  const engine = { leaseMs: 3_600_000 };
  const server = await startServer({ mode: "cloud", home, port: 0, authenticators: [fuzzAuthenticator], engine });
  try {
    const fuzz = await prepareFuzz(server.endpoint);
    mends.ledger = false;
    const { leaks } = await fuzz.run({ seed: 1, requests: 300, among: isRunnersOwn });
    for (const method of ["beginToolCall", "finishToolCall", "recordToolCalls", "recordRun"])
      expect(leaks.filter((leak) => leak.startsWith(`RunnerController/${method}: `))).not.toEqual([]);
  } finally {
    mends.ledger = true;
    await server.close();
    await rm(home, { recursive: true });
  }
});
