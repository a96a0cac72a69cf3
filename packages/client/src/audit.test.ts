import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform[Symbol.asyncDispose]());

it("lists who did what, page after page, and narrows it", async () => {
  const { client } = platform;
  const begun = new Date(Date.now() - 60_000);
  const ids: (string | undefined)[] = [];
  for (const name of ["a", "b", "c"]) ids.push((await client.environments.create({ name, data: {} })).metadata?.id);
  const all = await Array.fromAsync(client.audit.list({ resourceKind: "Environment", pageSize: 2 }));
  expect(all.map(({ resourceId }) => resourceId).toSorted()).toEqual(ids.toSorted());
  expect(all[0]).toMatchObject({ principalId: "local", role: "owner", code: "OK" });
  expect((await client.audit.list({ resourceId: ids[0], since: begun })).items).toHaveLength(1);
  expect((await client.audit.list({ until: begun })).items).toEqual([]);
  expect((await client.audit.list({ principalId: "somebody" })).items).toEqual([]);
});
