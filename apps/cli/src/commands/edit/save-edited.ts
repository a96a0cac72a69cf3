import type { StigmerClient } from "@stigmer/client";
import { CliError } from "../../errors.ts";
import type { Manifest } from "../../manifests/manifest.ts";
import { skillArtifact } from "../../manifests/skill-artifact.ts";
import type { Resource } from "../../resources/kinds.ts";

/** Sends an edited resource: never as a new one, and only where it is still what was read. */
export async function saveEdited(
  client: StigmerClient,
  { kind, message }: Manifest,
  before: Resource,
): Promise<Resource> {
  switch (kind) {
    case "Environment":
      return client.environments.update(message);
    case "McpServer":
      return client.mcpServers.update(message);
    case "Agent":
      return client.agents.update(message);
    case "AgentInstance":
      return client.agentInstances.update(message);
    case "Session":
      return client.sessions.update(message);
    case "Skill": {
      const { id, org, slug, version } = before.metadata ?? { id: "", org: "", slug: "", version: undefined };
      // A push has no version to check: it is looked at as late as can be.
      const now = await client.skills.get(id);
      if (now.metadata?.version?.id !== version?.id) {
        throw new CliError("failed", `skill ${slug} was changed since it was read: read it again`);
      }
      const artifact = skillArtifact(message.spec?.skillMd ?? "");
      return client.skills.push({
        name: message.metadata?.name ?? "",
        org: org || undefined,
        tag: message.spec?.tag,
        artifact,
      });
    }
  }
}
