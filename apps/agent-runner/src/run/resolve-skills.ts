import { ClientError, type ResourceClients } from "@stigmer/client";
import type { Agent } from "@stigmer/protos/agent/v1";
import { ApiResourceOwnerScope, type ApiResourceReference } from "@stigmer/protos/apiresource";
import type { Session } from "@stigmer/protos/session/v1";
import type { Skill } from "@stigmer/protos/skill/v1";
import { named } from "./run-error.ts";

/** A skill in the version that a reference asked for. */
export interface ReferencedSkill {
  readonly skill: Skill;
  /** Where the reference stands, as people wrote it: `spec.skill_refs[0] (review@stable)`. */
  readonly reference: string;
  /** The sub-agent that has it; empty for the agent itself. */
  readonly subAgent: string;
}

/**
 * Looks up the skills of the agent, in the order of its references, then those of the session, then those of each sub-agent.
 * Throws `RunError` that names the reference of what is missing, and `ClientError` `unavailable` when the server is away.
 */
export async function resolveSkills(
  clients: Pick<ResourceClients, "skills">,
  { agent, session }: { readonly agent: Agent; readonly session: Session },
): Promise<ReferencedSkill[]> {
  const agentOrg = agent.metadata?.org ?? "";
  const places = [
    { refs: agent.spec?.skillRefs, field: "spec.skill_refs", org: agentOrg, subAgent: "" },
    {
      refs: session.spec?.skillRefs,
      field: "session spec.skill_refs",
      org: session.metadata?.org || agentOrg,
      subAgent: "",
    },
    ...(agent.spec?.subAgents ?? []).map(({ name, skillRefs }, at) => ({
      refs: skillRefs,
      field: `spec.sub_agents[${at}].skill_refs`,
      org: agentOrg,
      subAgent: name,
    })),
  ];
  return Promise.all(
    places.flatMap(({ refs = [], field, org, subAgent }) =>
      refs.map(async (ref, at) => ({
        skill: await named(`${field}[${at}]`, () => lookUp(clients, ref, org)),
        reference: `${field}[${at}] (${ref.slug}${ref.version === "" ? "" : `@${ref.version}`})`,
        subAgent,
      })),
    ),
  );
}

/** A reference that says no owner means the organization's skill, else the platform's. */
async function lookUp(
  { skills }: Pick<ResourceClients, "skills">,
  { slug, version, org, scope }: ApiResourceReference,
  defaultOrg: string,
): Promise<Skill> {
  if (scope === ApiResourceOwnerScope.platform) return skills.getByReference({ slug, version, scope: "platform" });
  try {
    return await skills.getByReference({ slug, version, org: org || defaultOrg });
  } catch (error) {
    const isOpen = scope === ApiResourceOwnerScope.api_resource_owner_scope_unspecified && org === "";
    if (!isOpen || !ClientError.is(error) || error.code !== "not-found") throw error;
    return skills.getByReference({ slug, version, scope: "platform" }).catch(() => Promise.reject(error));
  }
}
