import { Code } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

let now: number;
let server: TestServer;
beforeEach(async () => {
  now = 1_700_000_000_000;
  server = await openTestServer({ clock: () => now });
});
afterEach(() => server.dispose());

describe("create", () => {
  it("fills in what the client leaves to the server", async () => {
    const agent = await server.agents.create(given.agent("My  First_Agent!"));
    expect(agent).toMatchObject({ apiVersion: "agentic.stigmer.ai/v1", kind: "Agent" });
    expect(agent.metadata).toMatchObject({
      name: "My  First_Agent!",
      slug: "my-first-agent",
      org: "local",
      ownerScope: ApiResourceOwnerScope.organization,
      version: { previousVersionId: "" },
    });
    expect(agent.metadata?.id).toMatch(/^agt-[0-9a-z]{26}$/);
    expect(agent.metadata?.version?.id).toMatch(/^ver-/);
    const audit = agent.status?.audit?.specAudit;
    expect(audit).toMatchObject({ createdBy: { id: "user of local" }, event: "created" });
    expect(Number(audit?.createdAt?.seconds)).toBe(1_700_000_000);
    expect(await server.agents.get({ value: agent.metadata?.id })).toEqual(agent);
  });

  it("keeps an id that is given, and takes no status", async () => {
    const id = "agt-01m7yp6m06v3nf22f78h88f1ad";
    const request = { ...given.agent("a", {}, { id }), status: { defaultInstanceId: "ain-mine" } };
    const agent = await server.agents.create(request);
    expect(agent.metadata?.id).toBe(id);
    expect(agent.status?.defaultInstanceId).toMatch(/^ain-[0-9a-z]{26}$/);
  });

  it("refuses a slug that is taken, and a name that gives none", async () => {
    await server.agents.create(given.agent("a"));
    await expect(server.agents.create(given.agent("A"))).rejects.toMatchObject({
      code: Code.AlreadyExists,
      rawMessage: 'Agent "a" exists already in local.',
    });
    await server.agents.create(given.agent("a", {}, { org: "other" }));
    await server.agents.create(given.agent("a", {}, { ownerScope: ApiResourceOwnerScope.platform }));
    await expect(server.agents.create(given.agent("日本"))).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining("metadata.slug") as string,
    });
  });

  it("cuts the slug of a long name, and takes no longer one than can be stored", async () => {
    const names = ["one", "two"].map((end) => `${"long ".repeat(200)}${end}`);
    const agents = [];
    for (const name of names) agents.push(await server.agents.create(given.agent(name)));
    const slugs = agents.map(({ metadata }) => metadata?.slug ?? "");
    expect(slugs.map((slug) => slug.length)).toEqual([253, 253]);
    expect(slugs[0]).not.toBe(slugs[1]);
    expect(await server.agents.getByReference({ slug: slugs[1] })).toEqual(agents[1]);
    // What the server makes of it can be given back.
    for (const { status } of agents) {
      const instance = await server.instances.get({ value: status?.defaultInstanceId });
      expect(await server.instances.update(instance)).toMatchObject({ metadata: { slug: instance.metadata?.slug } });
    }
    const longest = { slug: "a".repeat(253), org: "o".repeat(253), tags: ["t".repeat(256)] };
    const labels = { ["k".repeat(317)]: "v".repeat(1024) };
    const agent = await server.agents.create(given.agent("a".repeat(1024), {}, { ...longest, labels }));
    expect((await server.agents.list({ tags: longest.tags, labels })).items).toEqual([agent]);
    await expect(server.agents.create(given.agent("a", {}, { slug: "a".repeat(254) }))).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining("metadata.slug: ") as string,
    });
  });

  it("refuses what breaks the contract's rules before anything is stored", async () => {
    const short = server.agents.create(given.agent("a", { instructions: "short" }));
    await expect(short).rejects.toMatchObject({ code: Code.InvalidArgument });
    const versionless = server.agents.create({ ...given.agent("a"), apiVersion: "" });
    await expect(versionless).rejects.toMatchObject({
      rawMessage: expect.stringMatching(/^api_version: .*agentic\.stigmer\.ai\/v1/) as string,
    });
    expect((await server.agents.list({})).items).toEqual([]);
  });
});

describe("apply", () => {
  it("creates, then changes nothing when it says the same, then replaces", async () => {
    const created = await server.agents.apply(given.agent("a", {}, { labels: { team: "x" } }));
    now += 1000;
    const again = await server.agents.apply(given.agent("a", {}, { labels: { team: "x" } }));
    expect(again).toEqual(created);
    expect(await server.agents.getByReference({ slug: "a" })).toEqual(created);

    now += 1000;
    const changed = await server.agents.apply(given.agent("a", { description: "New" }));
    expect(changed.metadata).toMatchObject({
      id: created.metadata?.id,
      labels: {},
      version: { previousVersionId: created.metadata?.version?.id },
    });
    expect(changed.spec?.description).toBe("New");
    expect(changed.status?.defaultInstanceId).toBe(created.status?.defaultInstanceId);
    const audit = changed.status?.audit?.specAudit;
    expect(audit?.event).toBe("updated");
    expect(Number(audit?.updatedAt?.seconds)).toBe(1_700_000_002);
    expect(audit?.createdAt).toEqual(created.status?.audit?.specAudit?.createdAt);
  });

  it("renames what is given with its id", async () => {
    const created = await server.agents.apply(given.agent("a"));
    const renamed = await server.agents.apply(given.agent("b", {}, { id: created.metadata?.id, slug: "b" }));
    expect(renamed.metadata).toMatchObject({ id: created.metadata?.id, slug: "b", name: "b" });
    await expect(server.agents.getByReference({ slug: "a" })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("never takes one for another: an id with the slug of another resource is refused", async () => {
    const a = await server.agents.apply(given.agent("a"));
    const b = await server.agents.apply(given.agent("b"));
    const mixed = server.agents.apply(given.agent("b", { description: "x" }, { id: a.metadata?.id, slug: "b" }));
    await expect(mixed).rejects.toMatchObject({ code: Code.AlreadyExists });
    expect(await server.agents.get({ value: b.metadata?.id })).toEqual(b);
    const elsewhere = "agt-01m7yp6m06v3nf22f78h88f1ad";
    const applied = await server.agents.apply(given.agent("b", { description: "y" }, { id: elsewhere }));
    expect(applied.metadata?.id).toBe(b.metadata?.id);
  });

  it("creates one resource when many apply it at the same time", async () => {
    const agents = await Promise.all(Array.from({ length: 10 }, () => server.agents.apply(given.agent("a"))));
    expect(new Set(agents.map(({ metadata }) => metadata?.id)).size).toBe(1);
    expect((await server.instances.list({})).items).toHaveLength(1);
  });
});

describe("update", () => {
  it("refuses a version that is outdated, and takes a current or absent one", async () => {
    const created = await server.agents.create(given.agent("a"));
    const { id, version } = created.metadata ?? {};
    const first = await server.agents.update(
      given.agent("a", { description: "1" }, { id, version: { id: version?.id } }),
    );
    await expect(
      server.agents.update(given.agent("a", { description: "2" }, { id, version: { id: version?.id } })),
    ).rejects.toMatchObject({ code: Code.Aborted, rawMessage: expect.stringContaining("read it again") as string });
    const last = await server.agents.update(given.agent("a", { description: "3" }, { id }));
    expect(last.metadata?.version?.previousVersionId).toBe(first.metadata?.version?.id);
  });

  it("does not create, and does not move to another owner", async () => {
    await expect(server.agents.update(given.agent("a"))).rejects.toMatchObject({ code: Code.NotFound });
    const id = (await server.agents.create(given.agent("a"))).metadata?.id;
    await expect(server.agents.update(given.agent("a", {}, { id, org: "other" }))).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "metadata.org: can't be changed from local",
    });
  });
});

describe("getByReference", () => {
  it("looks in the organisation first, then on the platform", async () => {
    const platform = await server.agents.create(given.agent("a", {}, { ownerScope: ApiResourceOwnerScope.platform }));
    expect((await server.agents.getByReference({ slug: "a" })).metadata?.id).toBe(platform.metadata?.id);
    const own = await server.agents.create(given.agent("a"));
    const reference = { slug: "a", scope: ApiResourceOwnerScope.organization, org: "local" };
    expect((await server.agents.getByReference(reference)).metadata?.id).toBe(own.metadata?.id);
    expect((await server.agents.getByReference({ slug: "a" })).metadata?.id).toBe(own.metadata?.id);
    const byScope = await server.agents.getByReference({ slug: "a", scope: ApiResourceOwnerScope.platform });
    expect(byScope.metadata?.id).toBe(platform.metadata?.id);
  });
});

describe("list", () => {
  it("gives each resource once, newest first, while others come and go", async () => {
    for (let index = 0; index < 5; index++) {
      now += 1;
      await server.agents.create(given.agent(`agent-${index}`));
    }
    const first = await server.agents.list({ pageSize: 2 });
    expect(first.items.map(({ metadata }) => metadata?.name)).toEqual(["agent-4", "agent-3"]);
    now += 1;
    await server.agents.create(given.agent("newer"));
    const second = await server.agents.list({ pageSize: 2, pageToken: first.nextPageToken });
    const third = await server.agents.list({ pageSize: 2, pageToken: second.nextPageToken });
    const rest = [...second.items, ...third.items].map(({ metadata }) => metadata?.name);
    expect(rest).toEqual(["agent-2", "agent-1", "agent-0"]);
    expect(third.nextPageToken).toBe("");
  });

  it("filters by labels and tags, and refuses a token that is none", async () => {
    await server.agents.create(given.agent("a", {}, { labels: { team: "x" }, tags: ["one", "two"] }));
    await server.agents.create(given.agent("b", {}, { tags: ["one"] }));
    expect((await server.agents.list({ tags: ["one"] })).items).toHaveLength(2);
    expect((await server.agents.list({ tags: ["one", "two"] })).items).toHaveLength(1);
    expect((await server.agents.list({ labels: { team: "x" } })).items).toHaveLength(1);
    await expect(server.agents.list({ pageToken: "rubbish" })).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it("ends a page before it is too large for one answer", async () => {
    const instructions = "x".repeat(900_000);
    for (const name of ["a", "b", "c", "d"]) await server.agents.create(given.agent(name, { instructions }));
    const first = await server.agents.list({});
    expect(first.items).toHaveLength(2);
    const second = await server.agents.list({ pageToken: first.nextPageToken });
    expect(second.items).toHaveLength(2);
    expect(second.nextPageToken).toBe("");
  });
});

describe("in cloud mode", () => {
  beforeEach(async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
  });

  it("keeps organisations apart", async () => {
    const a = { headers: { "x-org": "a" } };
    const b = { headers: { "x-org": "b" } };
    const { metadata } = await server.agents.create(given.agent("mine"), a);
    expect(metadata?.org).toBe("a");
    await expect(server.agents.get({ value: metadata?.id }, b)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.agents.getByReference({ slug: "mine", org: "a" }, b)).rejects.toMatchObject({
      code: Code.NotFound,
    });
    await expect(server.agents.delete({ value: metadata?.id }, b)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.agents.list({ org: "a" }, b)).rejects.toMatchObject({ code: Code.PermissionDenied });
    await expect(server.agents.create(given.agent("x", {}, { org: "a" }), b)).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    expect((await server.agents.list({}, b)).items).toEqual([]);
    expect((await server.agents.list({}, a)).items).toHaveLength(1);
    const run = await server.executions.create(given.execution({ agentId: metadata?.id }), a);
    await expect(server.executions.get({ value: run.metadata?.id }, b)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(server.executions.create(given.execution({ agentId: metadata?.id }), b)).rejects.toMatchObject({
      code: Code.NotFound,
    });
    expect((await server.executions.list({}, b)).entries).toEqual([]);
  });
});
