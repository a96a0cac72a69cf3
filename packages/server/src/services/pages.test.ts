import { create, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import fc from "fast-check";
import { expect, it } from "vitest";
import { execution } from "../store/__fixtures__/conformance/executions.ts";
import { resource } from "../store/__fixtures__/conformance/resources.ts";
import { openTestServer } from "./__fixtures__/open-test-server.ts";

// Rows come and go between the pages of a list. Each that was there all the time is seen once, and none is seen twice.

const creation = fc.integer({ min: 0, max: 4 });
const scenario = fc.record({
  before: fc.array(creation, { minLength: 1, maxLength: 25 }),
  pageSize: fc.integer({ min: 1, max: 6 }),
  /** What happens after each page: a new row of that time, or the end of one. */
  meanwhile: fc.array(
    fc.oneof(
      fc.record({ inserted: creation }),
      fc.record({ deleted: fc.nat({ max: 30 }) }),
      fc.record({ last: fc.constant("deleted" as const) }),
    ),
    { maxLength: 12 },
  ),
});

interface Rows {
  insert(index: number, createdAt: number): Promise<void>;
  delete(index: number): Promise<void>;
  page(pageToken: string, pageSize: number): Promise<{ ids: string[]; nextPageToken: string }>;
}

// Ids in an order that has nothing to do with the order of insertion.
const idOf = (index: number): string => `${(index * 7919) % 1000}-${index}`;

async function readAll(
  rows: Rows,
  { before, pageSize, meanwhile }: { before: number[]; pageSize: number; meanwhile: object[] },
): Promise<{ seen: string[]; lasting: string[] }> {
  const present = new Set<number>();
  let next = 0;
  const insert = async (createdAt: number): Promise<void> => {
    present.add(next);
    await rows.insert(next++, createdAt);
  };
  for (const createdAt of before) await insert(createdAt);
  const lasting = new Set(present);
  const steps = [...meanwhile];
  const seen: string[] = [];
  let token = "";
  do {
    const { ids, nextPageToken } = await rows.page(token, pageSize);
    expect(ids.length).toBeLessThanOrEqual(pageSize);
    seen.push(...ids);
    token = nextPageToken;
    const remove = async (index: number): Promise<void> => {
      lasting.delete(index);
      if (present.delete(index)) await rows.delete(index);
    };
    for (const step of steps.splice(0, 2)) {
      if ("inserted" in step) await insert(step.inserted as number);
      // Also the very row that the token was made of.
      else if ("last" in step) await remove(Number(seen.at(-1)?.split("-")[1] ?? 0));
      else if ("deleted" in step) await remove(step.deleted as number);
    }
  } while (token !== "");
  return { seen, lasting: [...lasting].map(idOf) };
}

function expectEachOnce({ seen, lasting }: { seen: string[]; lasting: string[] }): void {
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toEqual(expect.arrayContaining(lasting));
}

const filters = [
  {},
  { org: "local" },
  { sessionId: "ses-1" },
  { agentId: "agt-1" },
  { phase: 1 },
  { tags: ["t"] },
  { labels: { k: "v" } },
];

it.each(filters)("executions by %j", { timeout: 120_000 }, async (filter) => {
  await fc.assert(
    fc.asyncProperty(scenario, async (given) => {
      const server = await openTestServer();
      try {
        const { store, executions } = server;
        const rows: Rows = {
          insert: async (index, createdAt) => {
            const id = idOf(index);
            const body = toBinary(AgentExecutionSchema, create(AgentExecutionSchema, { metadata: { id } }));
            await store.executions.insert(execution({ id, createdAt, tags: ["t"], labels: { k: "v" }, body }));
          },
          delete: async (index) => void (await store.executions.delete(idOf(index))),
          page: async (pageToken, pageSize) => {
            const { entries, nextPageToken } = await executions.list({ ...filter, pageToken, pageSize });
            return { ids: entries.map(({ metadata }) => metadata?.id ?? ""), nextPageToken };
          },
        };
        expectEachOnce(await readAll(rows, given));
      } finally {
        await server.dispose();
      }
    }),
    { numRuns: 12 },
  );
});

it.each([{}, { org: "local" }, { tags: ["t"] }, { labels: { k: "v" } }])(
  "sessions by %j, and of an agent",
  { timeout: 120_000 },
  async (filter) => {
    await fc.assert(
      fc.asyncProperty(scenario, fc.boolean(), async (given, ofAgent) => {
        const server = await openTestServer();
        try {
          const { store, sessions } = server;
          await store.resources.insert(resource({ id: "ain-1", kind: "AgentInstance", parentId: "agt-1" }));
          const rows: Rows = {
            insert: async (index, createdAt) => {
              const id = idOf(index);
              const marks = { tags: ["t"], labels: { k: "v" } };
              const body = toBinary(SessionSchema, create(SessionSchema, { metadata: { id } }));
              const columns = { id, kind: "Session", parentId: "ain-1", createdAt, body };
              await store.resources.insert(resource({ ...columns, ...marks }));
            },
            delete: async (index) => void (await store.resources.delete("Session", idOf(index))),
            page: async (pageToken, pageSize) => {
              const page = { pageToken, pageSize };
              const { entries, nextPageToken } = await (ofAgent
                ? sessions.listByAgent({ agentId: "agt-1", ...page })
                : sessions.list({ ...filter, ...page }));
              return { ids: entries.map(({ metadata }) => metadata?.id ?? ""), nextPageToken };
            },
          };
          expectEachOnce(await readAll(rows, given));
        } finally {
          await server.dispose();
        }
      }),
      { numRuns: 12 },
    );
  },
);
