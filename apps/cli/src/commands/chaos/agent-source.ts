import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { findFiles } from "../../manifests/find-files.ts";
import { readManifests } from "../../manifests/read-manifests.ts";
import { findAgent } from "../../resources/find-agent.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { applyManifests } from "../apply/apply-manifests.ts";

const NOWHERE = ", neither here as a file nor on the server: list those with `stigmer list agents`";

/** An agent that can be put on any server, with what it refers to. */
export interface AgentSource {
  /** Puts it there and answers its name. */
  install(client: StigmerClient): Promise<string>;
}

/** `agent` is the path of manifests, else the name or id of an agent on the running server. */
export async function findAgentSource(agent: string, io: CommandIo): Promise<AgentSource> {
  const isPath = await stat(resolve(io.cwd, agent)).then(
    () => true,
    () => /[/\\]|\.(ya?ml|json)$/.test(agent),
  );
  return isPath ? fromManifests(agent, io) : await withClient(io, ({ client }) => fromServer(client, agent));
}

async function fromManifests(path: string, io: CommandIo): Promise<AgentSource> {
  const { manifests } = readManifests(await findFiles(path, io));
  const agents = manifests.filter(({ kind }) => kind === "Agent");
  const [agent] = agents;
  if (agent === undefined || agents.length > 1) {
    const what = agents.length === 0 ? "no agent" : `${agents.length} agents`;
    throw new CliError("failed", `${path} has ${what}: name manifests with one`);
  }
  return {
    async install(client) {
      await applyManifests(client, manifests);
      return agent.slug;
    },
  };
}

async function fromServer(client: StigmerClient, nameOrId: string): Promise<AgentSource> {
  const agent = await findAgent(client, nameOrId, NOWHERE);
  const { skillRefs = [], subAgents = [] } = agent.spec ?? {};
  const skills = await Promise.all(
    [...skillRefs, ...subAgents.flatMap((subAgent) => subAgent.skillRefs)].map(async ({ slug, version }) => {
      const skill = await client.skills.getByReference({ slug, ...(version && { version }) });
      const artifact = await client.skills.getArtifact(skill.status?.artifactStorageKey ?? "");
      return { name: skill.metadata?.slug ?? slug, tag: skill.spec?.tag, artifact };
    }),
  );
  return {
    async install(target) {
      for (const skill of skills) await target.skills.push(skill);
      const { apiVersion, kind, metadata, spec } = agent;
      const copy = create(AgentSchema, {
        apiVersion,
        kind,
        metadata: { name: metadata?.name, slug: metadata?.slug },
        spec,
      });
      return (await target.agents.apply(copy)).metadata?.slug ?? nameOrId;
    },
  };
}
