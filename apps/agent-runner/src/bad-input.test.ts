import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AgentSchema } from "@stigmer/protos/agent/v1";
import { ExecutionPhase, MessageType, type AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// What can't work is said before the first model call: the run fails, and its error names the thing and the field.

type AgentSpec = MessageInitShape<typeof AgentSchema>["spec"];
type RunSpec = MessageInitShape<typeof AgentExecutionSchema>["spec"];

interface BadInput {
  readonly agent?: AgentSpec;
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

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform({
    name: "bad input",
    scenarios: [{ name: "any", turns: [{ text: "Never asked." }] }],
  });
  await platform.runner();
}, 60_000);
afterAll(() => platform[Symbol.asyncDispose]());

it.each(Object.entries(cases))("%s fails the run before the model is asked", { timeout: 30_000 }, async (name, bad) => {
  const agent = await platform.applyAgent(bad.agent, name.replace(/\W+/g, "-"));
  const before = platform.model.requests.length;
  const status = await platform.run({ agentId: agent.metadata?.id, message: "Go.", ...bad.run });
  expect(ExecutionPhase[status.phase]).toBe("EXECUTION_FAILED");
  for (const part of bad.says) expect(status.error).toContain(part);
  const last = status.messages.at(-1);
  expect(last?.type).toBe(MessageType.MESSAGE_SYSTEM);
  expect(last?.content).toContain(status.error);
  expect(platform.model.requests).toHaveLength(before);
});
