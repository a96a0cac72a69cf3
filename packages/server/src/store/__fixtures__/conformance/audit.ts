import { expect, it } from "vitest";
import type { AuditRecord } from "../../audit-store.ts";
import type { Subject } from "./index.ts";

function entry(fields: Partial<AuditRecord> = {}): AuditRecord {
  return {
    id: "e-1",
    createdAt: 100,
    principalId: "anna",
    org: "acme",
    role: "owner",
    method: "ai.stigmer.agentic.agent.v1.AgentCommandController/create",
    resourceKind: "Agent",
    resourceId: "agt-1",
    code: "OK",
    clientAddress: "127.0.0.1",
    traceId: "",
    ...fields,
  };
}

export function auditCases(subject: Subject): void {
  it("gives an entry back as it was, also after a restart", async () => {
    await subject.store.audit.append(entry({ traceId: "0af7651916cd43dd8448eb211c80319c" }));
    const store = await subject.reopen();
    expect(await store.audit.list({}, { limit: 9 })).toEqual([entry({ traceId: "0af7651916cd43dd8448eb211c80319c" })]);
  });

  it("lists entries newest first, page by page, while others come", async () => {
    const { audit } = subject.store;
    for (const [id, createdAt] of [
      ["b", 100],
      ["a", 100],
      ["d", 300],
      ["c", 200],
    ] as const) {
      await audit.append(entry({ id, createdAt }));
    }
    const first = await audit.list({ org: "acme" }, { limit: 2 });
    expect(first.map(({ id }) => id)).toEqual(["d", "c"]);
    await audit.append(entry({ id: "e", createdAt: 400 }));
    const rest = await audit.list({ org: "acme" }, { limit: 9, after: first[1] });
    expect(rest.map(({ id }) => id)).toEqual(["b", "a"]);
  });

  it("narrows the list by every field that is said, together", async () => {
    const { audit } = subject.store;
    await audit.append(entry());
    await audit.append(entry({ id: "e-2", createdAt: 200, org: "globex" }));
    await audit.append(entry({ id: "e-3", createdAt: 300, principalId: "bert" }));
    await audit.append(entry({ id: "e-4", createdAt: 400, resourceKind: "Session", resourceId: "ses-1" }));
    await audit.append(entry({ id: "e-5", createdAt: 500, resourceId: "" }));
    const idsOf = async (filter: Parameters<typeof audit.list>[0]): Promise<string[]> =>
      (await audit.list(filter, { limit: 9 })).map(({ id }) => id);
    expect(await idsOf({})).toEqual(["e-5", "e-4", "e-3", "e-2", "e-1"]);
    expect(await idsOf({ org: "acme" })).toEqual(["e-5", "e-4", "e-3", "e-1"]);
    expect(await idsOf({ org: "nobody" })).toEqual([]);
    expect(await idsOf({ principalId: "bert" })).toEqual(["e-3"]);
    expect(await idsOf({ resourceKind: "Session" })).toEqual(["e-4"]);
    expect(await idsOf({ resourceId: "agt-1" })).toEqual(["e-3", "e-2", "e-1"]);
    expect(await idsOf({ resourceId: "" })).toEqual([]);
    expect(await idsOf({ since: 200, until: 400 })).toEqual(["e-3", "e-2"]);
    expect(await idsOf({ org: "acme", principalId: "anna", resourceKind: "Agent", resourceId: "agt-1", since: 100, until: 101 })).toEqual(["e-1"]);
    expect(await idsOf({ org: "globex", principalId: "bert" })).toEqual([]);
  });

  it("stores an entry with the change of its transaction, or neither", async () => {
    const { store } = subject;
    await store.transaction((tx) => tx.audit.append(entry()));
    const broken = store.transaction(async (tx) => {
      await tx.audit.append(entry({ id: "e-2" }));
      throw new Error("no");
    });
    await expect(broken).rejects.toThrow("no");
    expect((await store.audit.list({}, { limit: 9 })).map(({ id }) => id)).toEqual(["e-1"]);
  });

  it("forgets entries of before a time, oldest first, so many at once", async () => {
    const { audit, retention } = subject.store;
    for (const createdAt of [300, 100, 200, 500]) await audit.append(entry({ id: `at ${createdAt}`, createdAt }));
    expect(await retention.forgetAudit({ before: 500, limit: 2 })).toBe(2);
    expect((await audit.list({}, { limit: 9 })).map(({ id }) => id)).toEqual(["at 500", "at 300"]);
    expect(await retention.forgetAudit({ before: 500, limit: 9 })).toBe(1);
    expect(await retention.forgetAudit({ before: 500, limit: 9 })).toBe(0);
    expect(await audit.list({}, { limit: 9 })).toHaveLength(1);
  });

  it("keeps to the order and to what is said, however many entries there are", async () => {
    const { audit, retention } = subject.store;
    for (let index = 0; index < 150; index += 1) {
      await audit.append(entry({ id: `e-${1_000 + index}`, createdAt: index, principalId: index % 2 ? "anna" : "bert" }));
    }
    const byAnna = { org: "acme", principalId: "anna" };
    const first = await audit.list(byAnna, { limit: 50 });
    const rest = await audit.list(byAnna, { limit: 50, after: first.at(-1) });
    const all = Array.from({ length: 75 }, (_, index) => 149 - 2 * index);
    expect([...first, ...rest].map(({ createdAt }) => createdAt)).toEqual(all);
    expect(await retention.forgetAudit({ before: 140, limit: 100 })).toBe(100);
    expect(await retention.forgetAudit({ before: 140, limit: 100 })).toBe(40);
    expect(await audit.list(byAnna, { limit: 50 })).toEqual(first.slice(0, 5));
  });
}
