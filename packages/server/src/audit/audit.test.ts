// The audit log as callers of a running server see it, in both modes.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallOptions, Code, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createId } from "@stigmer/protos";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { ApiKeyCommandController } from "@stigmer/protos/apikey/v1";
import { type AuditEntry, AuditQueryController } from "@stigmer/protos/audit/v1";
import { EnvironmentCommandController } from "@stigmer/protos/environment/v1";
import { Role } from "@stigmer/protos/iam/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { fuzzAuthenticator } from "../__fixtures__/organizations-fuzz.ts";
import { createApiKey, deleteApiKey } from "../installation-keys.ts";
import { given } from "../services/__fixtures__/open-test-server.ts";
import { type RunningServer, startServer } from "../start-server.ts";

let home: string;
let server: RunningServer | undefined;
let transport: Transport;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-audit-"));
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(home, { recursive: true });
});

async function start(mode: "local" | "cloud", lines: string[] = []): Promise<RunningServer> {
  const say = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { debug: say, info: say, warn: say, error: say };
  server = await startServer({ mode, home, port: 0, authenticators: [fuzzAuthenticator], logger });
  transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}` });
  return server;
}

const as = (token: string, more: Record<string, string> = {}): CallOptions => ({
  headers: { authorization: `Bearer ${token}`, ...more },
});

const list = async (token: string, filter: object = {}): Promise<AuditEntry[]> =>
  (await createClient(AuditQueryController, transport).list(filter, as(token))).items;

const brief = ({ principalId, method, resourceId, code }: AuditEntry): string =>
  [principalId, method.split(".").at(-1), resourceId || "-", code].join(" ");

it("tells an organization's owner who did what, and what their roles refused, in cloud mode", async () => {
  await start("cloud");
  const agents = createClient(AgentCommandController, transport);
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const agent = await agents.create(
    given.agent("a"),
    as("acme.member", { traceparent: `00-${trace}-b7ad6b7169203331-01` }),
  );
  const id = agent.metadata?.id ?? "";
  const mine = await agents.create(given.agent("b"), as("globex.owner"));
  await expect(agents.delete({ value: id }, as("acme.viewer"))).rejects.toMatchObject({ code: Code.PermissionDenied });
  await expect(agents.delete({ value: id }, as("globex.owner"))).rejects.toMatchObject({ code: Code.NotFound });
  await createClient(AgentQueryController, transport).get({ value: id }, as("acme.viewer"));
  await agents.delete({ value: id }, as("acme.owner"));

  const entries = await list("acme.owner");
  expect(entries.map(brief)).toEqual([
    `owner of acme AgentCommandController/delete ${id} OK`,
    "viewer of acme AgentCommandController/delete - PERMISSION_DENIED",
    `member of acme AgentCommandController/create ${id} OK`,
  ]);
  expect(entries.at(-1)).toMatchObject({
    org: "acme",
    role: "member",
    resourceKind: "Agent",
    clientAddress: "127.0.0.1",
    traceId: trace,
    method: "ai.stigmer.agentic.agent.v1.AgentCommandController/create",
  });
  expect((await list("globex.owner")).map(brief)).toEqual([
    `owner of globex AgentCommandController/delete ${id} NOT_FOUND`,
    `owner of globex AgentCommandController/create ${mine.metadata?.id} OK`,
  ]);
});

it("is for owners of the organization alone", async () => {
  await start("cloud");
  for (const role of ["member", "viewer", "runner"]) {
    await expect(list(`acme.${role}`)).rejects.toMatchObject({ code: Code.PermissionDenied });
  }
  await expect(list("acme.owner", { org: "globex" })).rejects.toMatchObject({ code: Code.PermissionDenied });
  expect((await list("acme.owner", { org: "acme" })).map(brief)).toEqual([
    "viewer of acme AuditQueryController/list - PERMISSION_DENIED",
    "member of acme AuditQueryController/list - PERMISSION_DENIED",
  ]);
});

it("is read page by page, and narrowed by time, caller, kind and resource", async () => {
  const { apiKey } = await start("local");
  const agents = createClient(AgentCommandController, transport);
  const made: string[] = [];
  for (const name of ["a", "b", "c"]) made.push((await agents.apply(given.agent(name), as(apiKey))).metadata?.id ?? "");
  await createClient(EnvironmentCommandController, transport).create(
    { apiVersion: "agentic.stigmer.ai/v1", kind: "Environment", metadata: { name: "e" }, spec: {} },
    as(apiKey),
  );
  const audit = createClient(AuditQueryController, transport);
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await audit.list({ resourceKind: "Agent", pageSize: 2, pageToken }, as(apiKey));
    seen.push(...page.items.map(({ resourceId }) => resourceId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(seen.toSorted()).toEqual(made.toSorted());
  const all = await list(apiKey);
  expect(all).toHaveLength(4);
  expect(new Set(all.map(({ principalId, org, role }) => [principalId, org, role].join()))).toEqual(
    new Set(["local,local,owner"]),
  );
  expect((await list(apiKey, { resourceId: made[1] })).map(({ resourceId }) => resourceId)).toEqual([made[1]]);
  expect(await list(apiKey, { principalId: "somebody" })).toEqual([]);
  const { at } = all[0] ?? {};
  expect((await list(apiKey, { since: at })).length).toBeGreaterThan(0);
  expect((await list(apiKey, { until: at })).length).toBeLessThan(4);
  const first = await audit.list({ pageSize: 1 }, as(apiKey));
  await expect(
    audit.list({ pageSize: 1, pageToken: first.nextPageToken, resourceKind: "Agent" }, as(apiKey)),
  ).rejects.toMatchObject({ code: Code.InvalidArgument });
});

it("tells of keys that were made and revoked, by callers and in the database itself", async () => {
  const dataDir = join(home, "data");
  const first = await createApiKey({ dataDir, org: "acme", role: "owner" });
  const lost = await createApiKey({ dataDir, org: "acme", role: "viewer" });
  await deleteApiKey({ dataDir }, lost.id);
  await expect(deleteApiKey({ dataDir }, lost.id)).rejects.toThrow("There is no API key");
  await start("cloud");
  const keys = createClient(ApiKeyCommandController, transport);
  const key = await keys.create(
    { apiVersion: "iam.stigmer.ai/v1", kind: "ApiKey", metadata: { name: "ci" }, spec: { role: Role.MEMBER } },
    as(first.key),
  );
  const id = key.metadata?.id ?? "";
  await keys.delete({ value: id }, as(first.key));
  expect((await list(first.key, { resourceKind: "ApiKey" })).map(brief)).toEqual([
    `key:${first.id} ApiKeyCommandController/delete ${id} OK`,
    `key:${first.id} ApiKeyCommandController/create ${id} OK`,
    `administrator ApiKeyCommandController/delete ${lost.id} OK`,
    `administrator ApiKeyCommandController/create ${lost.id} OK`,
    `administrator ApiKeyCommandController/create ${first.id} OK`,
  ]);
});

it("holds nothing of what calls say: no secret, no key, no text", async () => {
  const lines: string[] = [];
  const running = await start("local", lines);
  const { apiKey } = running;
  const canary = "canary-3f9a1c";
  const secret = { TOKEN: { value: canary, isSecret: true } };
  const agent = await createClient(AgentCommandController, transport).create(
    given.agent(canary, { instructions: canary }),
    as(apiKey),
  );
  await createClient(EnvironmentCommandController, transport).create(
    { apiVersion: "agentic.stigmer.ai/v1", kind: "Environment", metadata: { name: "e" }, spec: { data: secret } },
    as(apiKey),
  );
  const executions = createClient(AgentExecutionCommandController, transport);
  const run = await executions.create(
    given.execution({ agentId: agent.metadata?.id, message: canary, runtimeEnv: secret }),
    as(apiKey),
  );
  const executionId = run.metadata?.id ?? "";
  await executions.sendMessage({ executionId, text: canary }, as(apiKey));
  await executions.cancel({ executionId, reason: canary }, as(apiKey));
  const made = await createClient(ApiKeyCommandController, transport).create(
    { apiVersion: "iam.stigmer.ai/v1", kind: "ApiKey", metadata: { name: canary }, spec: {} },
    as(apiKey),
  );
  const key = made.spec?.keyHash ?? "";
  expect(key).toMatch(/^stk_/);
  await expect(createClient(ApiKeyCommandController, transport).delete({ value: key }, as(apiKey))).rejects.toThrow(
    "not_found",
  );
  await expect(
    createClient(AgentCommandController, transport).delete({ value: `${createId("Agent")}${canary}` }, as(apiKey)),
  ).rejects.toThrow("not_found");

  const entries = await list(apiKey);
  expect(entries.map(({ method }) => method.split(".").at(-1)).toSorted()).toEqual([
    "AgentCommandController/create",
    "AgentCommandController/delete",
    "AgentExecutionCommandController/cancel",
    "AgentExecutionCommandController/create",
    "AgentExecutionCommandController/sendMessage",
    "ApiKeyCommandController/create",
    "ApiKeyCommandController/delete",
    "EnvironmentCommandController/create",
  ]);
  const audited = lines.filter((line) => line.startsWith("audit "));
  expect(audited).toHaveLength(entries.length);
  const told =
    JSON.stringify(entries, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)) +
    audited.join("\n");
  for (const word of [canary, key, apiKey]) expect(told).not.toContain(word);
  // Nor in the table itself, whatever columns it will have.
  await running.close();
  const { DatabaseSync } = await import("node:sqlite");
  expect(await readdir(join(home, "data"))).toContain("stigmer.db");
  const database = new DatabaseSync(join(home, "data", "stigmer.db"), { readOnly: true });
  const rows = JSON.stringify(database.prepare("SELECT * FROM audit_entries").all());
  database.close();
  expect(rows).toContain(executionId);
  for (const word of [canary, key, apiKey, await readFile(join(home, "local.key"), "utf8")])
    expect(rows).not.toContain(word);
});

it("is kept over a restart", async () => {
  const before = await start("local");
  await createClient(AgentCommandController, transport).create(given.agent("a"), as(before.apiKey));
  const told = await list(before.apiKey);
  await before.close();
  const after = await start("local");
  expect(await list(after.apiKey)).toEqual(told);
  expect(told).toHaveLength(1);
});
