import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { expect, it, vi } from "vitest";
import type { EmbeddedEngineChoice } from "./open-engine.ts";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { startServer } from "./start-server.ts";

it("lets a runner of its own machine that broke off have a quarter of a second to come back, in local mode", async () => {
  const left = await leftAfterTheStreamBroke({});
  expect(left).toBeLessThanOrEqual(250);
});

it("lets it have as long as was asked for", async () => {
  const left = await leftAfterTheStreamBroke({ leaseMs: 60_000, reattachMs: 20_000 });
  expect(left).toBeGreaterThan(250);
  expect(left).toBeLessThanOrEqual(20_000);
});

/** Milliseconds that the lease has left when the stream of its runner has ended. */
async function leftAfterTheStreamBroke(engine: EmbeddedEngineChoice): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-recover-"));
  const server = await startServer({ home, port: 0, engine });
  const database = new DatabaseSync(join(home, "data", "stigmer.db"), { readOnly: true });
  try {
    const authorize: Interceptor = (next) => (request) => {
      request.header.set("authorization", `Bearer ${server.apiKey}`);
      return next(request);
    };
    const transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [authorize] });
    const agent = await createClient(AgentCommandController, transport).apply(given.agent("a"));
    await createClient(AgentExecutionCommandController, transport).create(
      given.execution({ agentId: agent.metadata?.id }),
    );
    const stream = new AbortController();
    const offer = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency: 1 };
    for await (const { event } of createClient(RunnerController, transport).takeLeases(offer, stream)) {
      if (event.case === "lease") break;
    }
    stream.abort();
    const expiresAt = (): number => Number(database.prepare("SELECT expires_at AS at FROM tasks").get()?.["at"]);
    const whileHeld = expiresAt();
    return await vi.waitFor(
      () => {
        const at = expiresAt();
        expect(at).toBeLessThan(whileHeld);
        return at - Date.now();
      },
      { timeout: 20_000, interval: 10 },
    );
  } finally {
    database.close();
    await server.close();
    await rm(home, { recursive: true });
  }
}
