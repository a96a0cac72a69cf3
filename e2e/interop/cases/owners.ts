// Organisations and the keys of their members.
import { createHash } from "node:crypto";
import { expect } from "vitest";
import { type Answer, at, idOf } from "../caller.ts";
import type { World } from "../world.ts";
import type { Cases } from "./case.ts";

const ORGS = "ai.stigmer.tenancy.organization.v1.Organization";
const KEYS = "ai.stigmer.iam.apikey.v1.ApiKey";

const organization = (description: string, metadata: object = { name: "Blue Whale" }): object => ({
  apiVersion: "tenancy.stigmer.ai/v1",
  kind: "Organization",
  metadata,
  spec: { description },
});

const apiKey = (spec: object = { neverExpires: true }, metadata: object = { name: "Laptop" }): object => ({
  apiVersion: "iam.stigmer.ai/v1",
  kind: "ApiKey",
  metadata,
  spec,
});

const makeOrg = ({ own }: World): Promise<Answer> =>
  own.call(`${ORGS}CommandController/create`, organization("Swims."));
const makeKey = ({ own }: World): Promise<Answer> => own.call(`${KEYS}CommandController/create`, apiKey());
const slugsOf = (answer: Answer): unknown[] =>
  (answer["entries"] as { metadata: { slug: string } }[]).map(({ metadata }) => metadata.slug);

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");

export const ownerCases: Cases = {
  [`${ORGS}CommandController/apply`]: async (client) => {
    const made = await client.call(`${ORGS}CommandController/apply`, organization("Swims."));
    expect(made).toMatchObject({
      kind: "Organization",
      metadata: { slug: "blue-whale" },
      spec: { description: "Swims." },
    });
    const changed = await client.call(`${ORGS}CommandController/apply`, organization("Sings."));
    expect(changed).toMatchObject({ metadata: { id: idOf(made) }, spec: { description: "Sings." } });
  },
  [`${ORGS}CommandController/create`]: async (client, { own }) => {
    const made = await client.call(`${ORGS}CommandController/create`, organization("Swims."));
    expect(idOf(made)).toMatch(/^org-[0-9a-z]{26}$/);
    expect(await own.call(`${ORGS}QueryController/get`, { value: idOf(made) })).toMatchObject({
      spec: { description: "Swims." },
    });
  },
  [`${ORGS}CommandController/update`]: async (client, world) => {
    const { metadata } = (await makeOrg(world)) as { metadata: { id: string } };
    const changed = await client.call(`${ORGS}CommandController/update`, organization("Sings.", metadata));
    expect(changed).toMatchObject({ metadata: { id: metadata.id }, spec: { description: "Sings." } });
  },
  [`${ORGS}CommandController/delete`]: async (client, world) => {
    const value = idOf(await makeOrg(world));
    expect(idOf(await client.call(`${ORGS}CommandController/delete`, { value }))).toBe(value);
    await expect(world.own.call(`${ORGS}QueryController/get`, { value })).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${ORGS}QueryController/get`]: async (client, world) => {
    const value = idOf(await makeOrg(world));
    expect(await client.call(`${ORGS}QueryController/get`, { value })).toMatchObject({
      metadata: { id: value, slug: "blue-whale" },
      spec: { description: "Swims." },
    });
  },
  [`${ORGS}QueryController/find`]: async (client, world) => {
    await makeOrg(world);
    const answer = await client.call(`${ORGS}QueryController/find`, { page: { num: 0, size: 10 } });
    expect(answer).toMatchObject({ totalPages: 1 });
    expect(slugsOf(answer)).toEqual(expect.arrayContaining(["blue-whale", "local"]));
  },
  [`${ORGS}QueryController/findMyOrganizations`]: async (client, world) => {
    await makeOrg(world);
    const answer = await client.call(`${ORGS}QueryController/findMyOrganizations`, {});
    expect(slugsOf(answer)).toEqual(expect.arrayContaining(["blue-whale", "local"]));
  },
  [`${KEYS}CommandController/create`]: async (client, world) => {
    const made = await client.call(`${KEYS}CommandController/create`, apiKey());
    expect(idOf(made)).toMatch(/^key-[0-9a-z]{26}$/);
    expect(made).toMatchObject({ kind: "ApiKey", metadata: { name: "Laptop" }, spec: { neverExpires: true } });
    // The key itself is told this once.
    const key = at(made, "spec.keyHash");
    expect(key).toMatch(/^stk_/);
    const found = await world.own.call(`${KEYS}QueryController/get`, { value: idOf(made) });
    expect(JSON.stringify(found)).not.toContain(key);
    expect(found).toMatchObject({ spec: { fingerprint: at(made, "spec.fingerprint") } });
  },
  [`${KEYS}CommandController/update`]: async (client, world) => {
    const { metadata, spec } = (await makeKey(world)) as { metadata: { id: string }; spec: object };
    const changed = await client.call(`${KEYS}CommandController/update`, apiKey(spec, { ...metadata, name: "Desk" }));
    expect(changed).toMatchObject({ metadata: { id: metadata.id, name: "Desk" } });
  },
  [`${KEYS}CommandController/delete`]: async (client, world) => {
    const value = idOf(await makeKey(world));
    expect(idOf(await client.call(`${KEYS}CommandController/delete`, { value }))).toBe(value);
    await expect(world.own.call(`${KEYS}QueryController/get`, { value })).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${KEYS}QueryController/get`]: async (client, world) => {
    const value = idOf(await makeKey(world));
    expect(await client.call(`${KEYS}QueryController/get`, { value })).toMatchObject({
      metadata: { id: value },
      spec: { neverExpires: true },
    });
  },
  [`${KEYS}QueryController/getByKeyHash`]: async (client, world) => {
    const made = await makeKey(world);
    const value = hashOf(at(made, "spec.keyHash"));
    expect(idOf(await client.call(`${KEYS}QueryController/getByKeyHash`, { value }))).toBe(idOf(made));
    await expect(
      client.call(`${KEYS}QueryController/getByKeyHash`, { value: hashOf("another") }),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${KEYS}QueryController/findAll`]: async (client, world) => {
    const made = await makeKey(world);
    const answer = await client.call(`${KEYS}QueryController/findAll`, {});
    expect((answer["entries"] as Answer[]).map(idOf)).toContain(idOf(made));
  },
  "ai.stigmer.iam.audit.v1.AuditQueryController/list": async (client, world) => {
    const made = await makeKey(world);
    const answer = await client.call("ai.stigmer.iam.audit.v1.AuditQueryController/list", { resourceId: idOf(made) });
    expect(answer["items"]).toMatchObject([
      { method: `${KEYS}CommandController/create`, resourceKind: "ApiKey", resourceId: idOf(made), code: "OK" },
    ]);
  },
};
