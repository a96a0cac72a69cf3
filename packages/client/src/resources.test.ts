import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type ConnectRouter } from "@connectrpc/connect";
import { type Agent, AgentCommandController, AgentQueryController, AgentSchema } from "@stigmer/protos/agent/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";
import { ClientError } from "./errors.ts";
import { createResourceClients, type ResourceClients } from "./resource-clients.ts";

const instructions = "Answer in few words.";

let platform: Platform;
let client: ResourceClients;
beforeAll(async () => {
  platform = await startPlatform();
  client = platform.client;
});
afterAll(() => platform[Symbol.asyncDispose]());

async function errorOf(call: Promise<unknown>): Promise<ClientError> {
  const error = await call.catch((caught: unknown) => caught);
  if (!ClientError.is(error)) throw new Error("The call did not fail.", { cause: error });
  return error;
}

const idOf = ({ metadata }: { metadata?: { id: string } }): string => metadata?.id ?? "";

describe("resources against a server", () => {
  it("are given in short, as in a manifest, or as they were answered", async () => {
    const made = await client.agents.apply({ name: "Three Ways", labels: { team: "a" }, instructions });
    expect(made).toMatchObject({ apiVersion: "agentic.stigmer.ai/v1", kind: "Agent" });
    expect(made.metadata).toMatchObject({ slug: "three-ways", labels: { team: "a" } });
    const whole = await client.agents.apply({
      metadata: { name: "Three Ways" },
      spec: { instructions, description: "d" },
    });
    expect(whole).toMatchObject({ metadata: { id: idOf(made), labels: {} }, spec: { description: "d" } });
    if (whole.spec) whole.spec.description = "changed";
    expect((await client.agents.update(whole)).spec?.description).toBe("changed");
    const bare = create(AgentSchema, { metadata: { name: "Three Ways" }, spec: { instructions } });
    expect(idOf(await client.agents.apply(bare))).toBe(idOf(made));
    expect(bare.kind).toBe("");
  });

  it("are made, found, changed and deleted", async () => {
    const agent = await client.agents.create({ name: "Made", instructions });
    expect(idOf(await client.agents.get(idOf(agent)))).toBe(idOf(agent));
    expect(idOf(await client.agents.getByReference("made"))).toBe(idOf(agent));
    const environment = await client.environments.apply({ name: "Made", data: { A: { value: "1" } } });
    const server = await client.mcpServers.apply({
      name: "Files",
      serverType: { case: "stdio", value: { command: "mcp-files" } },
    });
    expect(server.spec?.serverType.value).toMatchObject({ command: "mcp-files" });
    const instance = await client.agentInstances.create({
      name: "Made in staging",
      agentId: idOf(agent),
      environmentRefs: [{ kind: 53, slug: "made" }],
    });
    const session = await client.sessions.create({ name: "Talk", agentInstanceId: idOf(instance), subject: "s" });
    expect((await client.sessions.get(idOf(session))).spec?.subject).toBe("s");
    expect(idOf(await client.sessions.delete(idOf(session)))).toBe(idOf(session));
    expect(idOf(await client.agentInstances.delete(idOf(instance)))).toBe(idOf(instance));
    for (const gone of [
      client.environments.delete(idOf(environment)),
      client.mcpServers.delete(idOf(server)),
      client.agents.delete(idOf(agent)),
    ]) {
      await gone;
    }
    expect((await errorOf(client.agents.get(idOf(agent)))).code).toBe("not-found");
  });

  it("take along what depends on them only when told to", async () => {
    const agent = await client.agents.create({ name: "Depended on", instructions });
    const session = await client.sessions.create({ name: "s", agentInstanceId: agent.status?.defaultInstanceId });
    expect((await errorOf(client.agents.delete(idOf(agent)))).code).toBe("failed-precondition");
    expect(idOf(await client.agents.delete(idOf(agent), { force: true }))).toBe(idOf(agent));
    expect((await errorOf(client.sessions.get(idOf(session)))).code).toBe("not-found");
  });

  it("keeps the variables of one run", async () => {
    await client.agents.apply({ name: "With variables", instructions });
    const { executions, executionContexts } = client;
    const run = executions.run({ agent: "with-variables", message: "Hello" });
    await run.execution;
    const made = await executionContexts.create({
      name: "Variables",
      executionId: run.id,
      data: { A: { value: "1" }, TOKEN: { value: "s3cret", isSecret: true } },
    });
    const found = await executionContexts.getByReference(made.metadata?.slug ?? "");
    expect(idOf(found)).toBe(idOf(made));
    expect(found.spec?.data["A"]?.value).toBe("1");
    expect(JSON.stringify((await executionContexts.get(idOf(made))).spec)).not.toContain("s3cret");
    expect(idOf(await executionContexts.delete(idOf(made)))).toBe(idOf(made));
  });

  it("are listed page by page, or all in one loop", async () => {
    const names = ["a", "b", "c", "d", "e"].map((letter) => `listed-${letter}`);
    for (const name of names) await client.environments.apply({ name, tags: ["listed"] });
    const page = await client.environments.list({ tags: ["listed"], pageSize: 2 });
    expect(page.items.map(({ metadata }) => metadata?.slug)).toEqual(["listed-e", "listed-d"]);
    const next = await client.environments.list({ tags: ["listed"], pageSize: 2, pageToken: page.nextPageToken });
    expect(next.items.map(({ metadata }) => metadata?.slug)).toEqual(["listed-c", "listed-b"]);
    const all = await Array.fromAsync(client.environments.list({ tags: ["listed"], pageSize: 2 }));
    expect(all.map(({ metadata }) => metadata?.slug)).toEqual(names.toReversed());
    expect(await Array.fromAsync(client.environments.list({ tags: ["no such"] }))).toEqual([]);
  });

  it("lists an agent's instances by the page", async () => {
    const agent = await client.agents.apply({ name: "Many", instructions });
    for (const name of ["one", "two", "three"]) await client.agentInstances.apply({ name, agentId: idOf(agent) });
    const all = await Array.fromAsync(client.agentInstances.listByAgent(idOf(agent), { pageSize: 2 }));
    expect(new Set(all.map(idOf)).size).toBe(4);
    expect((await client.agentInstances.listByAgent(idOf(agent), { pageSize: 2 })).items).toHaveLength(2);
  });

  it("refuses with the fields that are wrong", async () => {
    const error = await errorOf(client.agents.apply({ name: "Bad", slug: "Not A Slug", instructions: "no" }));
    expect(error).toMatchObject({ code: "invalid-argument", retryable: false });
    expect(error.message).toMatch(/^agent "Not A Slug": metadata\.slug: must be lower-case/);
    expect(error.violations.map(({ field, ruleId }) => [field, ruleId])).toEqual([
      ["metadata.slug", "metadata.slug"],
      ["spec.instructions", "string.min_len"],
    ]);
    const nested = await errorOf(
      client.agents.apply({ name: "Bad", instructions, skillRefs: [{ slug: "x", kind: 40 }], mcpServers: [{}] }),
    );
    expect(nested.violations.map(({ field }) => field)).toEqual(["spec.mcp_servers[0].name", "spec.skill_refs[0]"]);
    const keyed = await errorOf(
      client.executionContexts.create({ name: "Bad", executionId: "aex-1", data: { "A B": { value: "" } } }),
    );
    expect(keyed.violations).toEqual([
      { field: 'spec.data["A B"].value', message: expect.any(String) as string, ruleId: "string.min_len" },
    ]);
  });

  it("a list in a loop says what went wrong", async () => {
    const list = client.agents.list({ pageToken: "no token" });
    expect((await errorOf(Array.fromAsync(list))).code).toBe("invalid-argument");
    expect((await errorOf(list)).message).toMatch(/^agents: /);
  });
});

/** A client of a server whose agent services are these. */
function clientOf(routes: (router: ConnectRouter) => void, org = ""): ResourceClients {
  return createResourceClients(createRouterTransport(routes), { org, ownOrg: org });
}

describe("create", () => {
  const away = new ConnectError("starting", Code.Unavailable);
  const taken = new ConnectError("slug taken", Code.AlreadyExists);

  /** A server that loses the answers to the first `lost` creations. */
  function losing(lost: number, stored: Map<string, Agent> = new Map()): { client: ResourceClients; asked: string[] } {
    const asked: string[] = [];
    const client = clientOf((router) => {
      router.service(AgentCommandController, {
        create: (agent) => {
          const id = idOf(agent);
          asked.push(id);
          if ([...stored.values()].some(({ metadata }) => metadata?.name === agent.metadata?.name)) throw taken;
          if (stored.has(id)) throw taken;
          stored.set(id, agent);
          if (asked.length <= lost) throw away;
          return agent;
        },
      });
      router.service(AgentQueryController, {
        get: ({ value }) => {
          const found = stored.get(value);
          if (!found) throw new ConnectError("no such agent", Code.NotFound);
          return found;
        },
      });
    });
    return { client, asked };
  }

  it("happens once though its answer is lost", async () => {
    const { client, asked } = losing(1);
    const agent = await client.agents.create({ name: "Once", instructions });
    expect(asked).toEqual([idOf(agent), idOf(agent)]);
    expect(idOf(agent)).toMatch(/^agt-[0-9a-z]{26}$/);
  });

  it("tells that the name is another one's, also on a later try", async () => {
    const other = create(AgentSchema, { metadata: { id: "agt-other", name: "Taken" } });
    for (const lost of [0, 1]) {
      const stored = new Map([["agt-other", other]]);
      let first = lost;
      const client = clientOf((router) => {
        router.service(AgentCommandController, {
          create: () => {
            if (first-- > 0) throw away;
            throw taken;
          },
        });
        router.service(AgentQueryController, {
          get: ({ value }) => {
            const found = stored.get(value);
            if (!found) throw new ConnectError("no such agent", Code.NotFound);
            return found;
          },
        });
      });
      const error = await errorOf(client.agents.create({ name: "Taken", instructions }));
      expect(error).toMatchObject({ code: "already-exists", message: 'agent "Taken": slug taken' });
    }
  });

  it("is not repeated under an id of the caller's, which may be another one's", async () => {
    const { client, asked } = losing(1);
    const call = client.agents.create({ id: "agt-01m7yp6m06v3nf22f78h88f1ad", name: "Given", instructions });
    expect(await errorOf(call)).toMatchObject({ code: "unavailable", retryable: true });
    expect(asked).toEqual(["agt-01m7yp6m06v3nf22f78h88f1ad"]);
  });

  it("gives up with its caller", async () => {
    const { client } = losing(100);
    const controller = new AbortController();
    const call = client.agents.create({ name: "Late", instructions }, { signal: controller.signal });
    controller.abort(new Error("a reason of the caller's own"));
    expect((await errorOf(call)).code).toBe("cancelled");
  });
});

it("sends what a newer server knows back to it", async () => {
  let got: Agent | undefined;
  const client = clientOf((router) => {
    router.service(AgentCommandController, {
      update: (agent) => (got = agent),
    });
  });
  // Field 999, of a later version.
  const newer = [
    ...toBinary(AgentSchema, create(AgentSchema, { metadata: { id: "agt-1", name: "n" } })),
    0xba,
    0x3e,
    1,
    7,
  ];
  await client.agents.update(fromBinary(AgentSchema, Uint8Array.from(newer)));
  expect(got?.$unknown).toMatchObject([{ no: 999 }]);
});

it("works in the organisation that it was given", async () => {
  const seen: unknown[] = [];
  const client = clientOf((router) => {
    router.service(AgentCommandController, { create: (agent) => (seen.push(agent.metadata?.org), agent) });
    router.service(AgentQueryController, {
      getByReference: ({ org, scope, kind, slug, version }) => {
        seen.push([org, scope, kind, slug, version]);
        return {};
      },
      list: ({ org }) => {
        seen.push(org);
        return {};
      },
    });
  }, "acme");
  await client.agents.create({ name: "n", instructions });
  await client.agents.create({ name: "n", org: "other", instructions });
  await client.agents.getByReference("n");
  await client.agents.getByReference({ slug: "n", scope: "platform" });
  await client.agents.list();
  await client.agents.list({ org: "" });
  expect(seen).toEqual(["acme", "other", ["acme", 2, 40, "n", ""], ["", 1, 40, "n", ""], "acme", ""]);
});

it("pushes skills for its organisation, the key's own, or the platform", async () => {
  const seen: unknown[] = [];
  const routes = (router: ConnectRouter): void => {
    router.service(SkillCommandController, { push: ({ org, scope }) => (seen.push([org, scope]), {}) });
  };
  const skill = { name: "n", artifact: Uint8Array.of(1) };
  await clientOf(routes, "acme").skills.push(skill);
  await clientOf(routes).skills.push(skill);
  await clientOf(routes).skills.push({ ...skill, org: "other" });
  await clientOf(routes, "acme").skills.push({ ...skill, scope: "platform" });
  expect(seen).toEqual([
    ["acme", 2],
    ["", 0],
    ["other", 2],
    ["", 1],
  ]);
});

it("asks to take along what depends on it only when told to", async () => {
  const seen: unknown[] = [];
  const client = clientOf((router) => {
    router.service(AgentCommandController, { delete: ({ value, force }) => (seen.push([value, force]), {}) });
  });
  await client.agents.delete("agt-1");
  await client.agents.delete("agt-1", { force: true });
  expect(seen).toEqual([
    ["agt-1", false],
    ["agt-1", true],
  ]);
});

it("gives a call up after its own time", async () => {
  const client = clientOf((router) => {
    router.service(AgentQueryController, { get: () => new Promise(() => {}) });
  });
  expect(await errorOf(client.agents.get("agt-1", { timeoutMs: 20 }))).toMatchObject({
    code: "deadline-exceeded",
    retryable: true,
  });
});

it("has types that know what belongs where", () => {
  const calls = (): unknown[] => [
    // @ts-expect-error a field that no agent has
    client.agents.apply({ name: "x", instruction: "…" }),
    // @ts-expect-error the same, as a manifest
    client.agents.apply({ metadata: { name: "x" }, spec: { instruction: "…" } }),
    // @ts-expect-error half in short
    client.agents.apply({ metadata: { name: "x" }, instructions }),
    // @ts-expect-error no phase
    client.executions.list({ phase: "done" }),
    // @ts-expect-error nothing depends on a run
    client.executions.delete("aex-1", { force: true }),
  ];
  expect(calls).toBeTypeOf("function");
});
