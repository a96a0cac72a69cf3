import { ClientError, type StigmerClient } from "@stigmer/client";
import { isId } from "@stigmer/protos";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { Manifest } from "../manifests/manifest.ts";
import { findKind, type Resource } from "./kinds.ts";

/** What the server has of a manifest's resource, found as `apply` finds it: by id, else by slug and owner. */
export async function findCurrent(client: StigmerClient, manifest: Manifest): Promise<Resource | undefined> {
  const { metadata } = manifest.message;
  const id = metadata?.id ?? "";
  const byId = isId(id, manifest.kind) ? await orNothing(findKind(manifest.kind).calls(client).get(id)) : undefined;
  if (byId !== undefined) return byId;
  const { organization } = ApiResourceOwnerScope;
  // Left unset a reference would also be looked for on the platform, where `apply` writes only when it is told to.
  const scope = ApiResourceOwnerScope[metadata?.ownerScope || organization] as Scope;
  const reference = { slug: manifest.slug, org: metadata?.org || undefined, scope };
  switch (manifest.kind) {
    case "Environment":
      return orNothing(client.environments.getByReference(reference));
    case "McpServer":
      return orNothing(client.mcpServers.getByReference(reference));
    case "Skill":
      return orNothing(client.skills.getByReference(reference));
    case "Agent":
      return orNothing(client.agents.getByReference(reference));
    case "AgentInstance":
      return orNothing(client.agentInstances.getByReference(reference));
    case "Session":
      return findSession(client, manifest);
  }
}

type Scope = "organization" | "platform" | "identity_account";

/** Nobody looks for a session by its name but manifests, so the server has no way to. */
async function findSession(client: StigmerClient, { slug, message }: Manifest): Promise<Resource | undefined> {
  const org = message.metadata?.org || undefined;
  for await (const session of client.sessions.list({ org, pageSize: 1000 })) {
    if (session.metadata?.slug === slug) return session;
  }
  return undefined;
}

async function orNothing(call: Promise<Resource>): Promise<Resource | undefined> {
  try {
    return await call;
  } catch (error) {
    if (ClientError.is(error) && error.code === "not-found") return undefined;
    throw error;
  }
}
