import { ClientError, type StigmerClient } from "@stigmer/client";
import { CliError } from "../../errors.ts";
import type { Manifest } from "../../manifests/manifest.ts";
import { skillArtifact } from "../../manifests/skill-artifact.ts";
import type { Resource } from "../../resources/kinds.ts";
import { findParents, type Parents } from "../../resources/parents.ts";

/** Sends checked manifests in their order. */
export async function applyManifests(client: StigmerClient, manifests: readonly Manifest[]): Promise<void> {
  await sendManifests(client, manifests, { parents: await findParents(client, manifests) });
}

export interface SendOptions {
  readonly parents: Parents;
  /** Told of each one when the server has it. */
  readonly onApplied?: (manifest: Manifest, applied: Resource) => void;
}

/** As `applyManifests`, where parents are known already. The first that is refused ends it, saying what was applied. */
export async function sendManifests(
  client: StigmerClient,
  manifests: readonly Manifest[],
  { parents, onApplied = () => {} }: SendOptions,
): Promise<void> {
  const done: string[] = [];
  for (const manifest of manifests) {
    const { kind, slug, document } = manifest;
    try {
      const applied = await send(client, parents.complete(manifest));
      parents.learn(manifest, applied.metadata?.id ?? "");
      done.push(`${kind} ${slug}`);
      onApplied(manifest, applied);
    } catch (error) {
      // Without an answer from the server there is nothing to say about the document.
      if (!ClientError.is(error) || error.code === "unavailable" || error.code === "unauthenticated") throw error;
      const { file, line } = document.problemAt([], "");
      const before = done.length === 0 ? "nothing was applied" : `applied before it: ${done.join(", ")}`;
      throw new CliError("failed", `${file}:${line}: ${error.message} (${before})`, { cause: error });
    }
  }
}

async function send(client: StigmerClient, { kind, message }: Manifest): Promise<Resource> {
  switch (kind) {
    case "Environment":
      return client.environments.apply(message);
    case "McpServer":
      return client.mcpServers.apply(message);
    case "Agent":
      return client.agents.apply(message);
    case "AgentInstance":
      return client.agentInstances.apply(message);
    case "Session":
      return client.sessions.apply(message);
    case "Skill": {
      const { metadata, spec } = message;
      const artifact = skillArtifact(spec?.skillMd ?? "");
      return client.skills.push({
        name: metadata?.name ?? "",
        org: metadata?.org || undefined,
        tag: spec?.tag,
        artifact,
      });
    }
  }
}
