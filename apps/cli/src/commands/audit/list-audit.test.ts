import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, type RunningServer, startServer } from "@stigmer/server";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";

let home: string;
let server: RunningServer;
let owner: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-audit-"));
  owner = (await createApiKey({ dataDir: join(home, "data"), org: "acme", role: "owner" })).key;
  server = await startServer({ mode: "cloud", home, port: 0 });
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

const run = (args: string[], key = owner) =>
  startCli(args, { env: { STIGMER_HOME: home, STIGMER_BACKEND_ENDPOINT: server.endpoint, STIGMER_API_KEY: key } }).done;

it("shows owners who did what, and what was refused", async () => {
  const viewer = (await run(["key", "create", "screen", "--role", "viewer"])).out.trim();
  const refused = await run(["key", "create", "mine"], viewer);
  expect([refused.code, refused.out]).toEqual([1, ""]);
  const { code, out, err } = await run(["audit", "list"]);
  expect([code, err]).toEqual([0, ""]);
  const [header, ...lines] = out.trimEnd().split("\n");
  expect(header).toMatch(/^TIME +ACTOR +ROLE +METHOD +RESOURCE +OUTCOME +FROM$/);
  expect(lines).toHaveLength(3);
  const key = String.raw`20\S+Z +key:key-\S+`;
  expect(lines[0]).toMatch(
    new RegExp(`^${key} +viewer +ApiKeyCommandController/create +ApiKey +PERMISSION_DENIED +127\\.0\\.0\\.1$`),
  );
  expect(lines[1]).toMatch(
    new RegExp(`^${key} +owner +ApiKeyCommandController/create +key-\\S+ +OK +127\\.0\\.0\\.1$`),
  );
  expect(lines[2]).toMatch(/^20\S+Z +administrator +administrator +ApiKeyCommandController\/create +key-\S+ +OK *$/);

  const asJson = JSON.parse(
    (await run(["audit", "list", "--kind", "ApiKey", "-o", "json", "--limit", "1"])).out,
  ) as object[];
  expect(asJson).toEqual([expect.objectContaining({ resourceKind: "ApiKey", code: "PERMISSION_DENIED" })]);
  const { resource } = /(?<resource>key-\w+) +OK *$/.exec(out.trimEnd())?.groups ?? {};
  expect(
    (await run(["audit", "list", "--resource", resource ?? "", "--actor", "administrator", "--since", "1h"])).out,
  ).toContain(resource);
  const none = await run(["audit", "list", "--actor", "nobody"]);
  expect([none.code, none.out, none.err]).toEqual([0, "", "The audit log has no such entry.\n"]);
  const denied = await run(["audit", "list"], viewer);
  expect([denied.code, denied.out, denied.err.trimEnd().split("\n").length]).toEqual([1, "", 1]);
  expect(denied.err).toContain("takes the role owner");
});

it.each([
  [["--since", "yesterday"], "7d, 12h or 90m"],
  [["--limit", "0"], "whole number"],
  [["-o", "yaml"], "table, json"],
])("refuses %j in one line", async (args, says) => {
  const refused = await run(["audit", "list", ...args]);
  expect([refused.code, refused.out, refused.err.trimEnd().split("\n").length]).toEqual([2, "", 1]);
  expect(refused.err).toContain(says);
});
