import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Agent, AgentSchema } from "@stigmer/protos/agent/v1";
import { ExecutionPhase, MessageType, type AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { McpServerSchema } from "@stigmer/protos/mcpserver/v1";
import { buildZip } from "@stigmer/skills/hostile-archives";
import { afterAll, beforeAll, expect, it } from "vitest";
import { header, startPlatform, type Platform } from "./__fixtures__/platform.ts";

// What can't work is said before the first model call: the run fails, and its error names the thing and the field.

type AgentSpec = MessageInitShape<typeof AgentSchema>["spec"];
type RunSpec = MessageInitShape<typeof AgentExecutionSchema>["spec"];

interface BadInput {
  readonly agent?: AgentSpec;
  /** Of the instance, when it is not the agent's default one. */
  readonly environmentRefs?: readonly { kind: ApiResourceKind; slug: string }[];
  /** Before the run. */
  readonly given?: () => Promise<void>;
  readonly run?: RunSpec;
  /** All of it stands in the error. */
  readonly says: readonly string[];
}

const helper = { name: "helper", description: "Helps with the work.", instructions: "Help with what you are asked." };

const cases: Record<string, BadInput> = {
  "an unknown model provider": {
    run: { executionConfig: { modelName: "acme:model-1" } },
    says: ["acme"],
  },
  "an unknown model provider of an agent": {
    agent: { modelName: "acme:model-1" },
    says: ["model_name of agent", "acme"],
  },
  "an unknown model provider of a sub-agent": {
    agent: { subAgents: [helper, { ...helper, name: "second", modelName: "nope:model" }] },
    says: ["spec.sub_agents[1].model_name", '"nope" is no provider', "no Ollama answers", "provider:model"],
  },
  "a missing environment": {
    environmentRefs: [{ kind: ApiResourceKind.environment, slug: "no-such-vault" }],
    says: ["spec.environment_refs[0]", "no-such-vault"],
  },
  "an MCP server without its program": {
    agent: {
      mcpServers: [{ name: "own", serverType: { case: "stdio", value: { command: "no-such-program" } } }],
    },
    says: ["spec.mcp_servers[0].stdio.command", "no-such-program"],
  },
  "an MCP server of a resource without its program": {
    given: async () => {
      const spec = { serverType: { case: "stdio" as const, value: { command: "no-such-program" } } };
      const server = { ...header, kind: "McpServer", metadata: { name: "hollow" }, spec };
      await platform.client.mcpServers.apply(create(McpServerSchema, server));
    },
    agent: { mcpServerRefs: [{ ref: { kind: ApiResourceKind.mcp_server, slug: "hollow" } }] },
    says: ["spec.mcp_server_refs[0]", "McpServer hollow: spec.stdio.command", "no-such-program"],
  },
  // What is in such an archive nobody looks at. One that a server vouches for is in run/write-skills.test.ts.
  "a skill whose archive was replaced": {
    given: async () => {
      const { status } = await platform.client.skills.push({ name: "outward", artifact: soundSkill });
      const file = join(platform.home, "data/artifacts", `${status?.artifactStorageKey}.zip`);
      expect((await readFile(file)).equals(soundSkill)).toBe(true);
      await writeFile(file, hostileSkill);
    },
    agent: { skillRefs: [{ kind: ApiResourceKind.skill, slug: "outward" }] },
    says: ["spec.skill_refs[0] (outward)", "archive is not the version"],
  },
  "a missing skill": {
    agent: { skillRefs: [{ kind: ApiResourceKind.skill, slug: "no-such-skill" }] },
    says: ["spec.skill_refs[0]", "no-such-skill"],
  },
  "a missing MCP server": {
    agent: { mcpServerRefs: [{ ref: { kind: ApiResourceKind.mcp_server, slug: "no-such-server" } }] },
    says: ["mcp_server_refs[0]", "no-such-server"],
  },
  "an unknown tool": {
    agent: { tools: ["execute", "no_such_tool"] },
    says: ["no_such_tool", "tools"],
  },
  "a sub-agent's unknown tool": {
    agent: { subAgents: [{ ...helper, tools: ["no_such_tool"] }] },
    says: ["no_such_tool", "helper"],
  },
  "an unknown sub-agent": {
    agent: { subAgents: [{ ...helper, subAgents: ["nobody"] }] },
    says: ["nobody", "helper"],
  },
  "sub-agents in a circle": {
    agent: {
      subAgents: [
        { ...helper, subAgents: ["second"] },
        { ...helper, name: "second", subAgents: ["helper"] },
      ],
    },
    says: ["helper", "second"],
  },
};

const skillMd = { name: "SKILL.md", content: "---\nname: outward\ndescription: Use it always.\n---\nText.\n" };
const soundSkill = buildZip([skillMd]);
const hostileSkill = buildZip([skillMd, { name: "../evil.sh", content: "touch /tmp/evil" }]);

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform({
    name: "bad input",
    scenarios: [{ name: "any", turns: [{ text: "Never asked." }] }],
  });
  // Nobody listens there.
  await platform.runner({ OLLAMA_BASE_URL: "http://127.0.0.1:9" });
}, 60_000);
afterAll(() => platform[Symbol.asyncDispose]());

it.each(Object.entries(cases))("%s fails the run before the model is asked", { timeout: 30_000 }, async (name, bad) => {
  await bad.given?.();
  const slug = name.replace(/\W+/g, "-");
  const agent = await platform.applyAgent(bad.agent, slug);
  const before = platform.model.requests.length;
  const status = await platform.run({ ...(await of(agent, slug, bad)), message: "Go.", ...bad.run });
  expect(ExecutionPhase[status.phase]).toBe("EXECUTION_FAILED");
  for (const part of bad.says) expect(status.error).toContain(part);
  const last = status.messages.at(-1);
  expect(last?.type).toBe(MessageType.MESSAGE_SYSTEM);
  expect(last?.content).toContain(status.error);
  expect(platform.model.requests).toHaveLength(before);
});

async function of(
  agent: Agent,
  name: string,
  { environmentRefs }: BadInput,
): Promise<{ agentId?: string; sessionId?: string }> {
  const agentId = agent.metadata?.id;
  if (environmentRefs === undefined) return { agentId };
  const instance = await platform.client.agentInstances.create(
    create(AgentInstanceSchema, {
      ...header,
      kind: "AgentInstance",
      metadata: { name },
      spec: { agentId, environmentRefs: [...environmentRefs] },
    }),
  );
  const session = await platform.createSession(agent, { agentInstanceId: instance.metadata?.id });
  return { sessionId: session.metadata?.id };
}

it("a skill whose archive leads out of its folder is not taken by the server", async () => {
  await expect(platform.client.skills.push({ name: "evil", artifact: hostileSkill })).rejects.toMatchObject({
    code: "invalid-argument",
    message: expect.stringMatching(/artifact.*\.\.\/evil\.sh/) as string,
  });
});
