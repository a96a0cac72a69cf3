import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Fuzz, fuzzAuthenticator, prepareFuzz } from "./__fixtures__/organizations-fuzz.ts";
import { type RunningServer, startServer } from "./start-server.ts";
import { createSchema, type Schema } from "./store/postgres/__fixtures__/schemas.ts";

// `STIGMER_FUZZ_SEED` repeats what a failure names; `STIGMER_FUZZ_REQUESTS=100000` takes a quarter of an hour.
const seed = Number(process.env["STIGMER_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const requests = Number(process.env["STIGMER_FUZZ_REQUESTS"] ?? 25_000);

describe.each(["sqlite", "postgres"] as const)("organisations in %s", (type) => {
  let home: string;
  let schema: Schema | undefined;
  let server: RunningServer;
  let fuzz: Fuzz;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "stigmer-fuzz-"));
    schema = type === "postgres" ? await createSchema() : undefined;
    server = await startServer({
      mode: "cloud",
      home,
      port: 0,
      encryptionKey: Buffer.alloc(32, 7),
      authenticators: [fuzzAuthenticator],
      // Nobody keeps the leases of the runs that are held.
      engine: { leaseMs: 3_600_000 },
      ...(schema && { store: { type: "postgres", url: schema.url } }),
    });
    fuzz = await prepareFuzz(server.endpoint);
  });
  afterEach(async () => {
    await server.close();
    await schema?.drop();
    await rm(home, { recursive: true });
  });

  it(
    "let nothing of another one out, whatever is asked, and change nothing of it",
    { timeout: 1_800_000 },
    async () => {
      console.log(`STIGMER_FUZZ_SEED=${seed}`);
      const before = await fuzz.readVault();
      const count = type === "sqlite" ? requests : Math.ceil(requests / 10);
      const { leaks, answers } = await fuzz.run({ seed, requests: count });
      expect(leaks).toEqual([]);
      expect(await fuzz.readVault()).toBe(before);
      // Requests that break a rule of the contract ask for nothing.
      const asked = (codes: ReadonlyMap<string, number>): number =>
        [...codes].reduce(
          (sum, [code, times]) => sum + (["InvalidArgument", "Internal"].includes(code) ? 0 : times),
          0,
        );
      const vain = [...answers].filter(([, codes]) => asked(codes) < count / 10_000).map(([name]) => name);
      expect(vain).toEqual([]);
      expect([...answers].filter(([, codes]) => codes.has("Internal") || codes.has("Unknown"))).toEqual([]);
      const told = [...answers.values()].reduce((sum, codes) => sum + (codes.get("ok") ?? 0), 0);
      expect(told).toBeGreaterThan(count / 50);
    },
  );

  it(
    "are refused in the same words for what is another's as for what is not there",
    { timeout: 1_800_000 },
    async () => {
      expect(await fuzz.compare({ seed, requests: 1_500 })).toEqual([]);
    },
  );
});
