import { create } from "@bufbuild/protobuf";
import { type SubAgent, SubAgentSchema } from "@stigmer/protos/agent/v1";
import { expect, it } from "vitest";
import { describeSubAgents } from "./describe-sub-agents.ts";
import { RunError } from "./run-error.ts";

const lead: SubAgent = create(SubAgentSchema, {
  name: "lead",
  description: "Leads.",
  instructions: "You lead a dig.",
  modelName: "big",
  tools: ["task"],
  disallowedTools: ["git__*"],
  subAgents: ["digger"],
});
const digger: SubAgent = create(SubAgentSchema, {
  name: "digger",
  description: "Digs.",
  instructions: "You dig a hole.",
});

const mcp = { toolsFor: () => [] };

it("takes all that a manifest says of a sub-agent, and asks for the models that are named", async () => {
  const specs = await describeSubAgents([lead, digger], {
    mcp,
    resolveModel: async (model) => ({ provider: "ollama", model }),
    skillsSectionOf: (name) => (name === "digger" ? "## Skills" : undefined),
  });
  expect(specs).toMatchObject([
    {
      name: "lead",
      description: "Leads.",
      instructions: "You lead a dig.",
      model: { provider: "ollama", model: "big" },
      allowedTools: ["task"],
      disallowedTools: ["git__*"],
      subAgents: ["digger"],
    },
    { name: "digger", instructions: "You dig a hole.", skillsSection: "## Skills", allowedTools: [], subAgents: [] },
  ]);
  expect(specs[1]?.model).toBeUndefined();
});

it("names the field of a model that there is not", async () => {
  const resolveModel = async (name: string): Promise<never> => {
    throw new RunError(`There is no model ${name}.`);
  };
  await expect(
    describeSubAgents([digger, lead], { mcp, resolveModel, skillsSectionOf: () => undefined }),
  ).rejects.toMatchObject({ message: "spec.sub_agents[1].model_name: There is no model big." });
});
