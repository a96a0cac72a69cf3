// What is the same for every kind that is created, read, changed and deleted.
import { expect } from "vitest";
import { type Answer, idOf } from "../caller.ts";
import { agentOf, apiVersion, PKG, resource, type World } from "../world.ts";
import type { Case, Cases } from "./case.ts";

interface Kind {
  readonly kind: string;
  /** As in `ApiResourceReference`. */
  readonly reference: string;
  readonly service: string;
  readonly idPrefix: string;
  /** What names it in `delete`. */
  readonly deleteBy: "value" | "resourceId";
  readonly methods: readonly (keyof typeof byMethod)[];
  /** The list's field of resources. */
  readonly listed?: "items" | "entries";
  /** A sound spec, and another. */
  specs(world: World): Promise<readonly [object, object]>;
}

const byMethod = {
  apply: (kind: Kind): Case => {
    return async (client, world) => {
      const [first, second] = await kind.specs(world);
      const made = await client.call(command(kind, "apply"), resource(kind.kind, "Blue Whale", first));
      expect(made).toMatchObject(shown(kind, first));
      const changed = await client.call(command(kind, "apply"), resource(kind.kind, "Blue Whale", second));
      expect(changed).toMatchObject(shown(kind, second));
      expect(idOf(changed)).toBe(idOf(made));
      expect(await read(kind, world, idOf(made))).toMatchObject({ spec: second });
    };
  },
  create: (kind: Kind): Case => {
    return async (client, world) => {
      const [spec] = await kind.specs(world);
      const made = await client.call(command(kind, "create"), resource(kind.kind, "Blue Whale", spec));
      expect(made).toMatchObject(shown(kind, spec));
      expect(made).toHaveProperty("status.audit.specAudit.createdAt");
      expect(await read(kind, world, idOf(made))).toMatchObject({ spec });
      await expect(client.call(command(kind, "create"), resource(kind.kind, "Blue Whale", spec))).rejects.toMatchObject(
        { code: "ALREADY_EXISTS" },
      );
    };
  },
  update: (kind: Kind): Case => {
    return async (client, world) => {
      const [first, second] = await kind.specs(world);
      const made = await make(kind, world, first);
      const { metadata } = made;
      const changed = await client.call(command(kind, "update"), {
        apiVersion,
        kind: kind.kind,
        metadata,
        spec: second,
      });
      expect(changed).toMatchObject({ ...shown(kind, second), metadata: { id: idOf(made) } });
      expect(await read(kind, world, idOf(made))).toMatchObject({ spec: second });
    };
  },
  delete: (kind: Kind): Case => {
    return async (client, world) => {
      const [spec] = await kind.specs(world);
      const made = await make(kind, world, spec);
      const gone = await client.call(command(kind, "delete"), { [kind.deleteBy]: idOf(made) });
      expect(gone).toMatchObject({ metadata: { id: idOf(made), slug: "blue-whale" } });
      await expect(read(kind, world, idOf(made))).rejects.toMatchObject({ code: "NOT_FOUND" });
    };
  },
  get: (kind: Kind): Case => {
    return async (client, world) => {
      const [spec] = await kind.specs(world);
      const made = await make(kind, world, spec);
      const answer = await client.call(query(kind, "get"), { value: idOf(made) });
      expect(answer).toMatchObject({ ...shown(kind, spec), metadata: { id: idOf(made) } });
      await expect(client.call(query(kind, "get"), { value: `${kind.idPrefix}-none` })).rejects.toMatchObject({
        code: "NOT_FOUND",
        message: expect.stringContaining(`${kind.idPrefix}-none`) as string,
      });
    };
  },
  getByReference: (kind: Kind): Case => {
    return async (client, world) => {
      const [spec] = await kind.specs(world);
      const { metadata } = (await make(kind, world, spec)) as {
        metadata: { id: string; org: string; ownerScope: string };
      };
      const { org, ownerScope: scope } = metadata;
      const reference = { kind: kind.reference, org, scope, slug: "blue-whale" };
      const answer = await client.call(query(kind, "getByReference"), reference);
      expect(answer).toMatchObject({ ...shown(kind, spec), metadata: { id: metadata.id } });
      await expect(client.call(query(kind, "getByReference"), { ...reference, slug: "none" })).rejects.toMatchObject({
        code: "NOT_FOUND",
      });
    };
  },
  list: (kind: Kind): Case => {
    return async (client, world) => {
      const [spec] = await kind.specs(world);
      const ids = [idOf(await make(kind, world, spec)), idOf(await make(kind, world, spec, "Red Whale"))];
      const seen: string[] = [];
      let pageToken = "";
      do {
        const page = await client.call(query(kind, "list"), { pageSize: 1, pageToken });
        const rows = page[kind.listed ?? "items"] as Answer[];
        expect(rows).toHaveLength(1);
        seen.push(...rows.map(idOf));
        pageToken = (page["nextPageToken"] as string | undefined) ?? "";
      } while (pageToken !== "");
      // An agent's default instance is there too.
      expect(seen).toEqual(expect.arrayContaining(ids));
      expect(new Set(seen).size).toBe(seen.length);
    };
  },
} satisfies Record<string, (kind: Kind) => Case>;

const command = (kind: Kind, method: string): string => `${kind.service}CommandController/${method}`;
const query = (kind: Kind, method: string): string => `${kind.service}QueryController/${method}`;
const read = (kind: Kind, { own }: World, id: string): Promise<Answer> => own.call(query(kind, "get"), { value: id });
const make = (kind: Kind, { own }: World, spec: object, name = "Blue Whale"): Promise<Answer> =>
  own.call(command(kind, "create"), resource(kind.kind, name, spec));
const shown = (kind: Kind, spec: object): object => ({
  apiVersion,
  kind: kind.kind,
  metadata: {
    name: "Blue Whale",
    slug: "blue-whale",
    org: "local",
    id: expect.stringMatching(new RegExp(`^${kind.idPrefix}-[0-9a-z]{26}$`)) as string,
  },
  spec,
});

const kinds: readonly Kind[] = [
  {
    kind: "Agent",
    reference: "agent",
    service: `${PKG}.agent.v1.Agent`,
    idPrefix: "agt",
    deleteBy: "value",
    methods: ["apply", "create", "update", "delete", "get", "getByReference", "list"],
    specs: async () => [
      {
        instructions: "Answer in few words.",
        mcpServers: [{ name: "files", stdio: { command: "mcp-files", args: ["--root", "/"] } }],
        subAgents: [{ name: "reader", instructions: "Read what you are told.", mcpServers: ["files"] }],
      },
      { instructions: "Answer in many words.", description: "Talks." },
    ],
  },
  {
    kind: "AgentInstance",
    reference: "agent_instance",
    service: `${PKG}.agentinstance.v1.AgentInstance`,
    idPrefix: "ain",
    deleteBy: "value",
    methods: ["apply", "create", "update", "delete", "get", "getByReference", "list"],
    specs: async ({ agent }) => {
      const agentId = idOf(await agent());
      return [{ agentId }, { agentId, description: "Another." }];
    },
  },
  {
    kind: "Session",
    reference: "session",
    service: `${PKG}.session.v1.Session`,
    idPrefix: "ses",
    deleteBy: "value",
    listed: "entries",
    methods: ["apply", "create", "update", "delete", "get", "list"],
    specs: async ({ agent }) => {
      const { status } = (await agent()) as { status: { defaultInstanceId: string } };
      const session = { agentInstanceId: status.defaultInstanceId, sandboxType: "SANDBOX_TYPE_ISOLATED" };
      return [session, { ...session, subject: "Whales", metadata: { colour: "blue" } }];
    },
  },
  {
    kind: "Environment",
    reference: "environment",
    service: `${PKG}.environment.v1.Environment`,
    idPrefix: "env",
    deleteBy: "resourceId",
    methods: ["apply", "create", "update", "delete", "get", "getByReference", "list"],
    specs: async () => [{ data: { CITY: { value: "Kiel" } } }, { data: { CITY: { value: "Bonn", description: "d" } } }],
  },
  {
    kind: "McpServer",
    reference: "mcp_server",
    service: `${PKG}.mcpserver.v1.McpServer`,
    idPrefix: "mcp",
    deleteBy: "resourceId",
    methods: ["apply", "create", "update", "delete", "get", "getByReference", "list"],
    specs: async () => [
      { stdio: { command: "mcp-files" } },
      { http: { url: "https://mcp.example.com/", timeoutSeconds: 7 }, tags: ["a", "b"] },
    ],
  },
  {
    kind: "ExecutionContext",
    reference: "execution_context",
    service: `${PKG}.executioncontext.v1.ExecutionContext`,
    idPrefix: "exec",
    deleteBy: "resourceId",
    methods: ["apply", "create", "delete", "get", "getByReference"],
    specs: async ({ run }) => {
      const executionId = idOf(await run());
      return [
        { executionId, data: { CITY: { value: "Kiel" } } },
        { executionId, data: { CITY: { value: "Bonn" } } },
      ];
    },
  },
];

const generic: Cases = Object.fromEntries(
  kinds.flatMap((kind) =>
    kind.methods.map((method) => {
      const isQuery = method === "get" || method === "getByReference" || method === "list";
      return [isQuery ? query(kind, method) : command(kind, method), byMethod[method](kind)];
    }),
  ),
);

export const resourceCases: Cases = {
  ...generic,
  [`${PKG}.agentinstance.v1.AgentInstanceQueryController/getByAgent`]: async (client, world) => {
    const [one, other] = [await world.agent("One"), await world.agent("Other")];
    const answer = await client.call(`${PKG}.agentinstance.v1.AgentInstanceQueryController/getByAgent`, {
      agentId: idOf(one),
      pageInfo: { num: 0, size: 10 },
    });
    expect(answer).toMatchObject({ totalCount: 1, items: [{ spec: { agentId: idOf(one) } }] });
    expect(JSON.stringify(answer)).not.toContain(idOf(other));
  },
  [`${PKG}.session.v1.SessionQueryController/listByAgent`]: async (client, world) => {
    const agent = await world.agent("One");
    const session = await world.session(agent);
    const answer = await client.call(`${PKG}.session.v1.SessionQueryController/listByAgent`, { agentId: idOf(agent) });
    expect((answer["entries"] as Answer[]).map(idOf)).toEqual([idOf(session)]);
    expect(answer).toMatchObject({ totalPages: 1 });
  },
  // `agentOf` stands for what most clients write: a name and instructions.
  [`${PKG}.agent.v1.AgentQueryController/list`]: async (client, world) => {
    await byMethod.list(kinds[0] as Kind)(client, world);
    await world.own.call(`${PKG}.agent.v1.AgentCommandController/create`, {
      ...agentOf("Tagged"),
      metadata: { name: "Tagged", tags: ["x"] },
    });
    const answer = await client.call(`${PKG}.agent.v1.AgentQueryController/list`, { tags: ["x"] });
    expect((answer["items"] as Answer[]).map((agent) => agent["metadata"])).toMatchObject([{ slug: "tagged" }]);
  },
};
