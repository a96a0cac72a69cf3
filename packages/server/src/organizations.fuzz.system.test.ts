import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Fuzz, fuzzAuthenticator, prepareFuzz } from "./__fixtures__/organizations-fuzz.ts";
import { startTemporal, type TemporalDevServer } from "./__fixtures__/temporal-dev-server.ts";
import { type RunningServer, startServer } from "./start-server.ts";
import { createSchema, type Schema } from "./store/postgres/__fixtures__/schemas.ts";

// `STIGMER_FUZZ_SEED` repeats what a failure names; `STIGMER_FUZZ_REQUESTS=100000` takes some minutes.
const seed = Number(process.env["STIGMER_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const requests = Number(process.env["STIGMER_FUZZ_REQUESTS"] ?? 25_000);

/** What organisations are kept in and what runs their agents, and how many of the requests each of these gets. */
const INSTALLATIONS = [
  { store: "sqlite", engine: "embedded", share: 1 },
  { store: "postgres", engine: "embedded", share: 0.1 },
  { store: "sqlite", engine: "temporal", share: 0.1 },
] as const;

describe.each(INSTALLATIONS)("organisations in $store under the $engine engine", ({ store, engine, share }) => {
  let home: string;
  let schema: Schema | undefined;
  let temporal: TemporalDevServer | undefined;
  let server: RunningServer;
  let fuzz: Fuzz;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "stigmer-fuzz-"));
    schema = store === "postgres" ? await createSchema() : undefined;
    temporal = engine === "temporal" ? await startTemporal() : undefined;
    server = await startServer({
      mode: "cloud",
      home,
      port: 0,
      encryptionKey: Buffer.alloc(32, 7),
      authenticators: [fuzzAuthenticator],
      // Nobody keeps the leases of the runs that are held.
      engine: temporal ? { type: "temporal", ...temporal } : { leaseMs: 3_600_000 },
      ...(schema && { store: { type: "postgres", url: schema.url } }),
    });
    fuzz = await prepareFuzz(server.endpoint, engine);
  });
  afterEach(async () => {
    await server.close();
    await schema?.drop();
    await temporal?.dispose();
    await rm(home, { recursive: true });
  });

  it(
    "let nothing of another one out, whatever is asked, and change nothing of it",
    { timeout: 1_800_000 },
    async () => {
      console.log(`STIGMER_FUZZ_SEED=${seed}`);
      const before = await fuzz.readVault();
      const count = Math.ceil(requests * share);
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
