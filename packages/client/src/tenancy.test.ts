import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { ApiKeyCommandController } from "@stigmer/protos/apikey/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";
import { createClient } from "./create-client.ts";
import { createResourceClients } from "./resource-clients.ts";

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform[Symbol.asyncDispose]());

describe("API keys", () => {
  it("are shown once, work until they are deleted, and are listed without what they could be used by", async () => {
    const { client, server } = platform;
    const { key, apiKey } = await client.apiKeys.create({ name: "ci", neverExpires: true });
    const id = apiKey.metadata?.id ?? "";
    expect(key).not.toBe("");
    expect(JSON.stringify(apiKey.spec)).not.toContain(key);
    expect((await Array.fromAsync(client.apiKeys.list())).map(({ metadata }) => metadata?.id)).toEqual([id]);

    using other = createClient({ endpoint: server.endpoint, apiKey: key });
    expect((await other.agents.list()).items).toEqual([]);
    const { spec } = await client.apiKeys.get(id);
    expect(spec?.keyHash).not.toBe(key);

    expect((await client.apiKeys.update({ id, name: "nightly", neverExpires: true })).metadata?.name).toBe("nightly");
    expect((await client.apiKeys.delete(id)).metadata?.id).toBe(id);
    await expect(other.agents.list()).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(client.apiKeys.getByKeyHash("")).rejects.toMatchObject({ message: "key_hash cannot be empty" });
  });

  it("are not made anew when the answer got lost: nobody would know that one", async () => {
    let made = 0;
    const transport = createRouterTransport((router) => {
      router.service(ApiKeyCommandController, {
        create: () => {
          made += 1;
          throw new ConnectError("gone", Code.Unavailable);
        },
      });
    });
    const { apiKeys } = createResourceClients(transport, { org: "", ownOrg: "" });
    await expect(apiKeys.create({ name: "ci" })).rejects.toMatchObject({
      code: "unavailable",
      message: 'API key "ci": gone',
    });
    expect(made).toBe(1);
  });
});

it("organizations are made, listed by the page, changed and deleted", async () => {
  const { organizations } = platform.client;
  const slugs = ["one", "two", "three"];
  for (const slug of slugs) await organizations.create({ name: slug.toUpperCase(), slug, description: "d" });
  const listed = await Array.fromAsync(organizations.list({ pageSize: 2 }), ({ metadata }) => metadata?.slug);
  expect(listed.toSorted()).toEqual(["local", "one", "three", "two"]);
  expect((await organizations.listMine()).map(({ metadata }) => metadata?.slug).toSorted()).toEqual(listed.toSorted());

  const [found] = (await organizations.listMine()).filter(({ metadata }) => metadata?.slug === "one");
  const id = found?.metadata?.id ?? "";
  expect((await organizations.get(id)).spec?.description).toBe("d");
  const changed = await organizations.apply({ name: "ONE", slug: "one", description: "changed" });
  expect(changed).toMatchObject({ metadata: { id }, spec: { description: "changed" } });
  expect((await organizations.delete(id)).metadata?.id).toBe(id);
  await expect(organizations.get(id)).rejects.toMatchObject({ code: "not-found" });
});
