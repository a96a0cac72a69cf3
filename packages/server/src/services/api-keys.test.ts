import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { ApiKeyCommandController, ApiKeyQueryController } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { apiKeyAuthenticator, hashOfApiKey } from "../interceptors/principal.ts";
import { silentLogger } from "../logger.ts";
import { type RunningServer, startServer } from "../start-server.ts";
import type { Store } from "../store/store.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";
import { createApiKeyBook } from "./api-key-book.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

const key = (name: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: "iam.stigmer.ai/v1",
  kind: "ApiKey",
  metadata: { name, ...metadata },
  spec,
});

describe("an API key", () => {
  let now: number;
  let server: TestServer;
  beforeEach(async () => {
    now = 1_700_000_000_000;
    server = await openTestServer({ clock: () => now });
  });
  afterEach(() => server.dispose());

  const authenticator = () =>
    apiKeyAuthenticator(
      createApiKeyBook({ store: server.store, logger: silentLogger, mode: "local", clock: () => now }),
      () => now,
    );

  it("is shown once; kept are its hash and its end", async () => {
    const created = await server.apiKeys.create(key("Laptop", { keyHash: "mine", fingerprint: "mine" }));
    const secret = created.spec?.keyHash ?? "";
    expect(secret).toMatch(/^stk_[A-Za-z0-9_-]{43}$/);
    const hash = createHash("sha256").update(secret).digest("hex");
    expect(created.spec?.fingerprint).toBe(secret.slice(-6));
    const value = created.metadata?.id;
    const stored = await server.apiKeys.get({ value });
    expect(stored.spec?.keyHash).toBe(hash);
    expect(await server.apiKeys.getByKeyHash({ value: hash })).toEqual(stored);
    expect((await server.apiKeys.findAll({})).entries).toEqual([stored]);
    const kept = await server.place.kept();
    expect(kept.includes(hash)).toBe(true);
    expect(kept.includes(secret.slice(4))).toBe(false);
    await expect(server.apiKeys.getByKeyHash({ value: secret })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("may share its name, and is somebody's", async () => {
    const [one, two] = [await server.apiKeys.create(key("same")), await server.apiKeys.create(key("same"))];
    expect(one.metadata?.slug).not.toBe(two.metadata?.slug);
    expect(one.spec?.keyHash).not.toBe(two.spec?.keyHash);
    await expect(server.apiKeys.create(key("p", {}, { ownerScope: 1 }))).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("ends after 30 days when nothing is said, and never only when that is asked for", async () => {
    const endOf = async (spec: object): Promise<number | undefined> => {
      const { expiresAt } = (await server.apiKeys.create(key("k", spec))).spec ?? {};
      return expiresAt && timestampMs(expiresAt);
    };
    expect(await endOf({})).toBe(now + 30 * DAY_MS);
    expect(await endOf({ expiresAt: timestampFromMs(now + 1000) })).toBe(now + 1000);
    expect(await endOf({ neverExpires: true, expiresAt: timestampFromMs(1) })).toBeUndefined();
    for (const at of [now, now - DAY_MS, -5_000, Date.UTC(10_000, 0)]) {
      const refused = server.apiKeys.create(key("k", { expiresAt: timestampFromMs(at) }));
      await expect(refused).rejects.toMatchObject({
        code: Code.InvalidArgument,
        rawMessage: expect.stringMatching(/^spec\.expires_at: /) as string,
      });
    }
  });

  it("changes in its name and its end only", async () => {
    const created = await server.apiKeys.create(key("before"));
    const id = created.metadata?.id;
    const expiresAt = timestampFromMs(now + DAY_MS);
    const changed = await server.apiKeys.update(key("after", { keyHash: "x", fingerprint: "x", expiresAt }, { id }));
    expect(changed.metadata).toMatchObject({ id, name: "after", slug: created.metadata?.slug });
    expect(changed.spec).toMatchObject({
      keyHash: hashOfApiKey(created.spec?.keyHash ?? ""),
      fingerprint: created.spec?.fingerprint,
      expiresAt,
    });
    const renamed = await server.apiKeys.update(key("again", {}, { id }));
    expect(renamed.spec).toMatchObject({ expiresAt, neverExpires: false });
    await expect(server.apiKeys.update(key("again"))).rejects.toMatchObject({ code: Code.InvalidArgument });
    now += 2 * DAY_MS;
    await expect(server.apiKeys.update(key("late", { neverExpires: true }, { id }))).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
  });

  it("is not there for other members, also of the same organisation, but for its owners", async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const as = (user: string, role = "member") => ({ headers: { "x-org": "acme", "x-user": user, "x-role": role } });
    const created = await server.apiKeys.create(key("k"), as("ada"));
    const value = created.metadata?.id;
    const hash = hashOfApiKey(created.spec?.keyHash ?? "");
    const calls = [
      () => server.apiKeys.get({ value }, as("bob")),
      () => server.apiKeys.getByKeyHash({ value: hash }, as("bob")),
      () => server.apiKeys.update(key("k", {}, { id: value }), as("bob")),
      () => server.apiKeys.delete({ value }, as("bob")),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: Code.NotFound });
    expect((await server.apiKeys.findAll({}, as("bob"))).entries).toEqual([]);
    expect((await server.apiKeys.findAll({}, as("ada"))).entries).toHaveLength(1);
    await expect(server.apiKeys.create(key("k", {}, { org: "other" }), as("ada"))).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    expect((await server.apiKeys.findAll({}, as("eve", "owner"))).entries).toHaveLength(1);
    expect((await server.apiKeys.findAll({}, { headers: { "x-org": "other" } })).entries).toEqual([]);
    const demoted = key("k", { role: Role.VIEWER }, { id: value });
    expect((await server.apiKeys.update(demoted, as("eve", "owner"))).spec?.role).toBe(Role.VIEWER);
    expect((await server.apiKeys.update(key("again", {}, { id: value }), as("ada"))).spec?.role).toBe(Role.VIEWER);
    await server.apiKeys.delete({ value }, as("eve", "owner"));
  });

  it("may no more than who makes it, and is no runner's", async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const as = (role: string) => ({ headers: { "x-org": "acme", "x-user": "ada", "x-role": role } });
    const denied = (rawMessage: string) => ({ code: Code.PermissionDenied, rawMessage });
    const create = (role: Role, by: string) => server.apiKeys.create(key("k", { role }), as(by));
    await expect(create(Role.OWNER, "member")).rejects.toMatchObject(
      denied("spec.role: a key of role owner takes that role to make: yours is member"),
    );
    for (const by of ["member", "owner"]) {
      await expect(create(Role.RUNNER, by)).rejects.toMatchObject(
        denied("spec.role: keys of runners are made where the server is: stigmer server create-key --role runner"),
      );
    }
    const byOwner = await create(Role.OWNER, "owner");
    const id = byOwner.metadata?.id;
    // The same person with less of a role: what may more is not theirs to change.
    await expect(server.apiKeys.get({ value: id }, as("member"))).rejects.toMatchObject({ code: Code.NotFound });
    const mine = await create(Role.UNSPECIFIED, "member");
    const raised = key("k", { role: Role.OWNER }, { id: mine.metadata?.id });
    await expect(server.apiKeys.update(raised, as("member"))).rejects.toMatchObject({ code: Code.PermissionDenied });
    const book = createApiKeyBook({ store: server.store, logger: silentLogger, mode: "cloud", clock: () => now });
    const authenticate = apiKeyAuthenticator(book, () => now);
    expect(await authenticate(mine.spec?.keyHash ?? "")).toMatchObject({ id: "ada", org: "acme", role: "member" });
    expect(await authenticate(byOwner.spec?.keyHash ?? "")).toMatchObject({ role: "owner" });
  });

  it("calls in the name of who made it, in its organisation, until its end", async () => {
    const { spec } = await server.apiKeys.create(key("k", {}, { org: "acme" }), { headers: { "x-user": "ada" } });
    const authenticate = authenticator();
    expect(await authenticate(spec?.keyHash ?? "")).toEqual({
      id: "ada",
      org: "acme",
      role: "owner",
      expiresAt: now + 30 * DAY_MS,
    });
    expect(await authenticate("not-one-of-them")).toBeUndefined();
    await expect(authenticate("stk_unknown")).rejects.toMatchObject({ code: Code.Unauthenticated });
    now += 30 * DAY_MS;
    await expect(authenticate(spec?.keyHash ?? "")).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: `the API key has expired on ${new Date(now).toISOString()}: make another`,
    });
  });

  it("tells when it was used last, to the minute, with one write a minute at most", async () => {
    const created = await server.apiKeys.create(key("k"));
    const value = created.metadata?.id;
    const lastUse = async (): Promise<number | undefined> => {
      const { lastUsedAt } = (await server.apiKeys.get({ value })).status ?? {};
      return lastUsedAt && timestampMs(lastUsedAt);
    };
    let transactions = 0;
    const transaction: Store["transaction"] = (work) => {
      transactions += 1;
      return server.store.transaction(work);
    };
    const store = { ...server.store, transaction };
    const book = createApiKeyBook({ store, logger: silentLogger, mode: "local", clock: () => now });
    const authenticate = apiKeyAuthenticator(book, () => now);
    const use = (): Promise<unknown> => authenticate(created.spec?.keyHash ?? "");
    expect(await lastUse()).toBeUndefined();
    await Promise.all([use(), use(), use()]);
    const first = now;
    await expect.poll(lastUse, { timeout: 10_000 }).toBe(first);
    now += 59_000;
    await use();
    now += 1_000;
    await use();
    await expect.poll(lastUse, { timeout: 10_000 }).toBe(now);
    expect(transactions).toBe(2);
    const after = await server.apiKeys.get({ value });
    expect(after.metadata?.version).toEqual(created.metadata?.version);
    const renamed = await server.apiKeys.update(key("renamed", {}, { id: value }));
    expect(renamed.status?.lastUsedAt).toEqual(after.status?.lastUsedAt);
  });
});

describe("a server", () => {
  let home: string;
  let server: RunningServer;
  const logged: unknown[] = [];
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), "stigmer-keys-"));
    const log = (...line: unknown[]): void => void logged.push(line);
    server = await startServer({ home, port: 0, logger: { debug: log, info: log, warn: log, error: log } });
  });
  afterEach(async () => {
    await server.close();
    rmSync(home, { recursive: true, force: true });
  });

  it("takes the keys that it made until they are deleted, and writes none of them to its log", async () => {
    const transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}` });
    const keys = createClient(ApiKeyCommandController, transport);
    const withKey = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });
    const { spec, metadata } = await keys.create(key("ci", {}, { org: "acme" }), withKey(server.apiKey));
    const secret = spec?.keyHash ?? "";
    const agents = createClient(AgentCommandController, transport);
    const agent = await agents.create(given.agent("a"), withKey(secret));
    expect(agent.metadata?.org).toBe("acme");
    const own = await createClient(ApiKeyQueryController, transport).findAll({}, withKey(secret));
    expect(own.entries.map(({ metadata }) => metadata?.name)).toEqual(["ci"]);
    await keys.delete({ value: metadata?.id }, withKey(secret));
    const list = (authorization: string) =>
      createClient(AgentQueryController, transport).list({}, withKey(authorization));
    await expect(list(secret)).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: "the API key is not known here: it was deleted, or is another server's",
    });
    expect((await list(server.apiKey)).items).toHaveLength(1);
    const log = JSON.stringify(logged);
    expect(log).toContain("deleted");
    for (const text of [secret, secret.slice(4), hashOfApiKey(secret)]) expect(log).not.toContain(text);
  });
});
