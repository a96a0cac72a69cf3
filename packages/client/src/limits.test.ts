import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningServer, startServer } from "@stigmer/server";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createClient } from "./create-client.ts";

let home: string;
let server: RunningServer;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-client-limits-"));
  const authenticator = async (token: string) => ({ id: token, org: "acme", role: "owner" as const });
  const limits = { callsPerSecond: 5, callBurst: 5 };
  server = await startServer({ mode: "cloud", home, port: 0, authenticators: [authenticator], limits });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

it("makes calls that were one too many again when the server takes them, also those that change something", async () => {
  const client = createClient({ endpoint: server.endpoint, apiKey: "ada" });
  const names = Array.from({ length: 12 }, (_, index) => `agent-${index}`);
  await Promise.all(
    names.map((name) => client.agents.create({ metadata: { name }, spec: { instructions: "Answer briefly." } })),
  );
  const { items } = await client.agents.list();
  expect(items.map(({ metadata }) => metadata?.name).sort()).toEqual(names.toSorted());
  client.close();
});

it("waits no longer than the caller wants", async () => {
  const client = createClient({ endpoint: server.endpoint, apiKey: "ada" });
  const signal = AbortSignal.timeout(50);
  const flood = await Promise.allSettled(Array.from({ length: 30 }, () => client.agents.list({}, { signal })));
  const codes = new Set(flood.flatMap((call) => (call.status === "rejected" ? [call.reason.code] : [])));
  expect([...codes]).toEqual(["cancelled"]);
  client.close();
});
