import { afterEach, beforeEach, expect, it } from "vitest";
import { SECRET_MASK } from "../secrets/secrets.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const CANARY = "canary-4242-secret";

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer();
});
afterEach(() => server.dispose());

async function leasedRun(): Promise<{ id: string; fence: number }> {
  const agent = await server.agents.create(given.agent("a"));
  const runtimeEnv = { TOKEN: { value: CANARY, isSecret: true }, OPEN: { value: "seen" } };
  await server.executions.create(given.execution({ agentId: agent.metadata?.id, runtimeEnv }));
  return server.lease();
}

it("shows secrets only to the runner that holds a run, and only while it does", async () => {
  const environment = given.environment("e", { KEY: { value: CANARY, isSecret: true }, OPEN: { value: "seen" } });
  const created = await server.environments.create(environment);
  expect(created.spec?.data).toMatchObject({ KEY: { value: SECRET_MASK }, OPEN: { value: "seen" } });
  const { id, fence } = await leasedRun();
  const headers = { "stigmer-fence": `${id}/${fence}` };
  const open = await server.environments.getByReference({ slug: "e" }, { headers });
  expect(open.spec?.data["KEY"]?.value).toBe(CANARY);

  for (const stale of [`${id}/${fence + 1}`, `${id}/0`, `aex-other/${fence}`, `${id}`, "/", ""]) {
    const masked = await server.environments.getByReference({ slug: "e" }, { headers: { "stigmer-fence": stale } });
    expect(masked.spec?.data["KEY"]?.value).toBe(SECRET_MASK);
  }
  await server.store.queue.complete({ taskId: id, fence }, "r1");
  const after = await server.environments.getByReference({ slug: "e" }, { headers });
  expect(after.spec?.data["KEY"]?.value).toBe(SECRET_MASK);
});

it("keeps a secret that is applied masked, and sees that nothing changed", async () => {
  const secret = (value: string) => given.environment("e", { KEY: { value, isSecret: true } });
  const created = await server.environments.apply(secret(CANARY));
  expect(await server.environments.apply(secret(CANARY))).toEqual(created);
  expect(await server.environments.apply(secret(SECRET_MASK))).toEqual(created);
  const changed = await server.environments.apply(secret("another"));
  expect(changed.metadata?.version?.previousVersionId).toBe(created.metadata?.version?.id);
  const { id, fence } = await leasedRun();
  const open = await server.environments.getByReference(
    { slug: "e" },
    { headers: { "stigmer-fence": `${id}/${fence}` } },
  );
  expect(open.spec?.data["KEY"]?.value).toBe("another");
});

it("writes no secret to disk in clear", async () => {
  const value = { value: CANARY, isSecret: true };
  await server.environments.create(given.environment("e", { KEY: value }));
  const agent = await server.agents.create(given.agent("with-env", { envSpec: { data: { KEY: value } } }));
  const { id } = await leasedRun();
  await server.contexts.create({
    apiVersion: "agentic.stigmer.ai/v1",
    kind: "ExecutionContext",
    metadata: { name: "c" },
    spec: { executionId: id, data: { KEY: value } },
  });
  const mcpServer = await server.mcpServers.create({
    apiVersion: "agentic.stigmer.ai/v1",
    kind: "McpServer",
    metadata: { name: "m" },
    spec: {
      serverType: { case: "stdio", value: { command: "mcp" } },
      envSpec: { data: { KEY: value } },
    },
  });
  expect(agent.spec?.envSpec?.data["KEY"]?.value).toBe(SECRET_MASK);
  expect(mcpServer.spec?.envSpec?.data["KEY"]?.value).toBe(SECRET_MASK);
  const kept = await server.place.kept();
  expect(kept.includes(CANARY)).toBe(false);
  // What is not secret stands there, so the search does find.
  expect(kept.includes("with-env")).toBe(true);
});
