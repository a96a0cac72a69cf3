import { clone } from "@bufbuild/protobuf";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { isId, slugify } from "@stigmer/protos";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { Manifest } from "../manifests/manifest.ts";
import { refuse } from "../manifests/problems.ts";

/** What manifests belong to: an instance may name its agent, and a session its instance, by slug instead of id. */
export interface Parents {
  /** The manifest with the id of its parent; with what it says where that is yet to be made. */
  complete(manifest: Manifest): Manifest;
  /** Tells the id of what a manifest made. */
  learn(manifest: Manifest, id: string): void;
}

/** Looks parents up, unless they are among the manifests themselves. Throws a `CliError` for one that is nowhere. */
export async function findParents(client: StigmerClient, manifests: readonly Manifest[]): Promise<Parents> {
  const ids = new Map<string, string>();
  const own = new Set(manifests.map((manifest) => keyOf(manifest.kind, orgOf(manifest), manifest.slug)));
  for (const manifest of manifests) {
    const parent = parentOf(manifest);
    if (parent === undefined || isId(parent.name)) continue;
    const key = keyOf(parent.kind, orgOf(manifest), parent.name);
    if (own.has(key) || ids.has(key)) continue;
    const calls = parent.kind === "Agent" ? client.agents : client.agentInstances;
    try {
      const found = await calls.getByReference({ slug: parent.name, org: orgOf(manifest) || undefined });
      ids.set(key, found.metadata?.id ?? "");
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "not-found") throw error;
      throw refuse([
        manifest.document.problemAt(["spec", parent.field], `there is no ${parent.kind} "${parent.name}"`),
      ]);
    }
  }
  return {
    complete(manifest) {
      const parent = parentOf(manifest);
      if (parent === undefined) return manifest;
      return withParent(manifest, ids.get(keyOf(parent.kind, orgOf(manifest), parent.name)) ?? parent.name);
    },
    learn: (manifest, id) => void ids.set(keyOf(manifest.kind, orgOf(manifest), manifest.slug), id),
  };
}

interface Parent {
  readonly kind: "Agent" | "AgentInstance";
  readonly name: string;
  readonly field: string;
}

function parentOf({ kind, message }: Manifest): Parent | undefined {
  switch (kind) {
    case "AgentInstance":
      return { kind: "Agent", name: toName(message.spec?.agentId), field: "agentId" };
    case "Session":
      return { kind: "AgentInstance", name: toName(message.spec?.agentInstanceId), field: "agentInstanceId" };
    default:
      return undefined;
  }
}

function withParent(manifest: Manifest, id: string): Manifest {
  switch (manifest.kind) {
    case "AgentInstance": {
      const message = clone(AgentInstanceSchema, manifest.message);
      if (message.spec !== undefined) message.spec.agentId = id;
      return { ...manifest, message };
    }
    case "Session": {
      const message = clone(SessionSchema, manifest.message);
      if (message.spec !== undefined) message.spec.agentInstanceId = id;
      return { ...manifest, message };
    }
    default:
      return manifest;
  }
}

/** An id stays as it is, what people write becomes a slug. */
const toName = (text = ""): string => (isId(text) ? text : slugify(text));

const orgOf = ({ message }: Manifest): string => message.metadata?.org ?? "";

const keyOf = (kind: string, org: string, slug: string): string => `${kind}/${org}/${slug}`;
