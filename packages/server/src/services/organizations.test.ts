import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

let server: TestServer;
afterEach(() => server.dispose());

const organization = (name: string, metadata: object = {}, spec: object = {}) => ({
  apiVersion: "tenancy.stigmer.ai/v1",
  kind: "Organization",
  metadata: { name, ...metadata },
  spec,
});

const slugsOf = (entries: readonly { metadata?: { slug: string } }[]): (string | undefined)[] =>
  entries.map(({ metadata }) => metadata?.slug).toSorted();

describe("organisations on this machine", () => {
  beforeEach(async () => {
    server = await openTestServer();
  });

  it("are `local` from the start, which stays over restarts and can't be deleted or renamed", async () => {
    const { entries } = await server.organizations.findMyOrganizations({});
    expect(slugsOf(entries)).toEqual(["local"]);
    const id = entries[0]?.metadata?.id;
    await server.organizations.update(organization("local", { id }, { description: "Ada's" }));
    server = await server.restart();
    expect(await server.organizations.get({ value: id })).toMatchObject({ spec: { description: "Ada's" } });
    expect((await server.organizations.find({})).entries).toHaveLength(1);
    await expect(server.organizations.delete({ value: id })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: "Organization local is this machine's own: it stays",
    });
    await expect(server.organizations.update(organization("x", { id, slug: "x" }))).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "metadata.slug: can't be changed from local",
    });
  });

  it("are `local` once, whoever looks first", async () => {
    await Promise.all([
      server.organizations.find({}),
      server.organizations.findMyOrganizations({}),
      server.organizations.apply(organization("local")),
      server.organizations.create(organization("other")),
    ]);
    expect(slugsOf((await server.organizations.find({})).entries)).toEqual(["local", "other"]);
  });

  it("are applied by their slug, once, and changed nothing by an equal one", async () => {
    const created = await server.organizations.apply(organization("Acme Inc", { org: "anything", ownerScope: 2 }));
    expect(created.metadata).toMatchObject({ slug: "acme-inc", org: "" });
    expect(created.metadata?.id).toMatch(/^org-/);
    expect(await server.organizations.apply(organization("Acme Inc"))).toEqual(created);
    const changed = await server.organizations.apply(organization("Acme Inc", {}, { logoUrl: "https://x.example" }));
    expect(changed.metadata).toMatchObject({ id: created.metadata?.id });
    await expect(server.organizations.create(organization("acme inc"))).rejects.toMatchObject({
      code: Code.AlreadyExists,
    });
  });

  it("are found page by page", async () => {
    for (const name of ["a", "b", "c"]) await server.organizations.create(organization(name));
    const all = await server.organizations.find({});
    expect(all.totalPages).toBe(1);
    expect(slugsOf(all.entries)).toEqual(["a", "b", "c", "local"]);
    const pages = [];
    for (let num = 0; num < 3; num++) pages.push(await server.organizations.find({ page: { num, size: 2 } }));
    expect(pages.map(({ totalPages }) => totalPages)).toEqual([2, 2, 2]);
    expect(pages.flatMap(({ entries }) => entries)).toEqual(all.entries);
    expect((await server.organizations.find({ pageNumber: 1, pageSize: 3 })).entries).toEqual(all.entries.slice(3));
    expect(slugsOf((await server.organizations.find({ org: "b", kind: "Organization" })).entries)).toEqual(["b"]);
    await expect(server.organizations.find({ kind: "Agent" })).rejects.toMatchObject({ code: Code.InvalidArgument });
    await expect(server.organizations.find({ pageNumber: -1 })).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it("stay while they own something, and take their keys along", async () => {
    const value = (await server.organizations.create(organization("acme"))).metadata?.id;
    const agent = await server.agents.create(given.agent("a", {}, { org: "acme" }));
    const run = await server.executions.create(given.execution({ agentId: agent.metadata?.id }));
    const key = await server.apiKeys.create({
      apiVersion: "iam.stigmer.ai/v1",
      kind: "ApiKey",
      metadata: { name: "k", org: "acme" },
    });
    await expect(server.organizations.delete({ value })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage:
        "Organization acme still owns resources (Agent, AgentInstance, Session, AgentExecution): delete those first",
    });
    await server.runs.fail(run.metadata?.id ?? "", "no");
    await server.agents.delete({ value: agent.metadata?.id, force: true });
    expect((await server.organizations.delete({ value })).metadata?.slug).toBe("acme");
    await expect(server.apiKeys.get({ value: key.metadata?.id })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("need not be there for resources to name them: on one machine they only group", async () => {
    const agent = await server.agents.create(given.agent("a", {}, { org: "never-made" }));
    expect(agent.metadata?.org).toBe("never-made");
  });
});

describe("organisations of a cloud", () => {
  const of = (org: string, user: string) => ({ headers: { "x-org": org, "x-user": user } });

  beforeEach(async () => {
    server = await openTestServer({ mode: "cloud" });
  });

  it("are seen by who is in them, changed by their owners, and are not there for others", async () => {
    const { metadata } = await server.organizations.create(organization("acme"), of("acme", "ada"));
    const value = metadata?.id;
    for (const caller of [of("acme", "bob"), of("acme", "ada")]) {
      expect((await server.organizations.get({ value }, caller)).metadata?.slug).toBe("acme");
      expect(slugsOf((await server.organizations.findMyOrganizations({}, caller)).entries)).toEqual(["acme"]);
    }
    const stranger = of("other", "ada");
    await expect(server.organizations.get({ value }, stranger)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.organizations.delete({ value }, stranger)).rejects.toMatchObject({ code: Code.NotFound });
    const apply = server.organizations.apply(organization("acme", {}, { description: "mine" }), stranger);
    await expect(apply).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage:
        "organization acme: this key belongs to other; another organization begins with its first key: stigmer server create-key --org acme",
    });
    const unmade = server.organizations.apply(organization("never-made"), stranger);
    await expect(unmade).rejects.toMatchObject({ code: Code.PermissionDenied });
    expect((await server.organizations.find({}, stranger)).entries).toEqual([]);
    expect((await server.organizations.get({ value }, of("acme", "bob"))).spec?.description).toBe("");
  });
});
