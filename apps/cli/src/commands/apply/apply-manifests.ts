import { clone } from "@bufbuild/protobuf";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { isId, slugify } from "@stigmer/protos";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { Manifest } from "../../manifests/manifest.ts";
import { refuse } from "../../manifests/problems.ts";
import { skillArtifact } from "../../manifests/skill-artifact.ts";
import { CliError } from "../../errors.ts";

export interface Applied {
  readonly kind: Manifest["kind"];
  readonly slug: string;
  readonly id: string;
}

/**
 * Sends checked manifests in their order. An instance may name its agent, and a session its instance, by slug instead
 * of id: those are looked up before the first is sent, unless the same call applies them.
 */
export async function applyManifests(
  client: StigmerClient,
  manifests: readonly Manifest[],
  onApplied: (applied: Applied) => void = () => {},
): Promise<Applied[]> {
  const ids = await findParents(client, manifests);
  const done: Applied[] = [];
  for (const manifest of manifests) {
    const { kind, slug, document } = manifest;
    try {
      const { metadata } = await send(client, manifest, ids);
      const applied = { kind, slug: metadata?.slug || slug, id: metadata?.id ?? "" };
      ids.set(keyOf(kind, slug), applied.id);
      done.push(applied);
      onApplied(applied);
    } catch (error) {
      // Without an answer from the server there is nothing to say about the document.
      if (!ClientError.is(error) || error.code === "unavailable" || error.code === "unauthenticated") throw error;
      const { file, line } = document.problemAt([], "");
      const before =
        done.length === 0
          ? "nothing was applied"
          : `applied before it: ${done.map((a) => `${a.kind} ${a.slug}`).join(", ")}`;
      throw new CliError("failed", `${file}:${line}: ${error.message} (${before})`, { cause: error });
    }
  }
  return done;
}

type ParentKind = "Agent" | "AgentInstance";

/** An id stays as it is, what people write becomes a slug. */
const toName = (text = ""): string => (isId(text) ? text : slugify(text));

const keyOf = (kind: string, slug: string): string => `${kind}/${slug}`;

function parentOf(manifest: Manifest): { kind: ParentKind; name: string; field: string } | undefined {
  switch (manifest.kind) {
    case "AgentInstance":
      return { kind: "Agent", name: toName(manifest.message.spec?.agentId), field: "agentId" };
    case "Session":
      return { kind: "AgentInstance", name: toName(manifest.message.spec?.agentInstanceId), field: "agentInstanceId" };
    default:
      return undefined;
  }
}

async function findParents(client: StigmerClient, manifests: readonly Manifest[]): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const applied = new Set(manifests.map(({ kind, slug }) => keyOf(kind, slug)));
  for (const manifest of manifests) {
    const parent = parentOf(manifest);
    if (parent === undefined || isId(parent.name) || applied.has(keyOf(parent.kind, parent.name))) continue;
    try {
      const found = await (parent.kind === "Agent" ? client.agents : client.agentInstances).getByReference({
        slug: parent.name,
      });
      ids.set(keyOf(parent.kind, parent.name), found.metadata?.id ?? "");
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "not-found") throw error;
      throw refuse([
        manifest.document.problemAt(["spec", parent.field], `there is no ${parent.kind} "${parent.name}"`),
      ]);
    }
  }
  return ids;
}

async function send(
  client: StigmerClient,
  manifest: Manifest,
  ids: ReadonlyMap<string, string>,
): Promise<{ metadata?: { id: string; slug: string } }> {
  const parent = parentOf(manifest);
  const parentId = parent && (ids.get(keyOf(parent.kind, parent.name)) ?? parent.name);
  switch (manifest.kind) {
    case "Environment":
      return client.environments.apply(manifest.message);
    case "McpServer":
      return client.mcpServers.apply(manifest.message);
    case "Agent":
      return client.agents.apply(manifest.message);
    case "Skill": {
      const { metadata, spec } = manifest.message;
      const artifact = skillArtifact(spec?.skillMd ?? "");
      return client.skills.push({
        name: metadata?.name ?? "",
        org: metadata?.org || undefined,
        tag: spec?.tag,
        artifact,
      });
    }
    case "AgentInstance": {
      const instance = clone(AgentInstanceSchema, manifest.message);
      if (instance.spec !== undefined) instance.spec.agentId = parentId ?? "";
      return client.agentInstances.apply(instance);
    }
    case "Session": {
      const session = clone(SessionSchema, manifest.message);
      if (session.spec !== undefined) session.spec.agentInstanceId = parentId ?? "";
      return client.sessions.apply(session);
    }
  }
}
