import type { Agent } from "@stigmer/protos/agent/v1";
import { isId } from "@stigmer/protos";
import { ClientError } from "./errors.ts";
import { requireId } from "./require-id.ts";
import { type Defaults, type Reference, type ReferenceInput, toReference } from "./resource-client.ts";

/** An agent, by its slug or id, by a reference, or as a server answered it. */
export type AgentChoice = string | ReferenceInput | Agent;

/** How a request says which agent is meant: what has no id is named, and found by the server, which spares a call. */
export type NamedAgent =
  | { readonly agentId: string; readonly agentRef?: undefined }
  | { readonly agentId?: undefined; readonly agentRef: Reference };

/** `org` is where a slug is looked up that says nothing else. Throws `ClientError` for what is empty. */
export function nameAgent(agent: AgentChoice, defaults: Pick<Defaults, "org">): NamedAgent {
  if (typeof agent === "string" && isId(agent, "Agent")) return { agentId: agent };
  if (typeof agent === "object" && "$typeName" in agent) {
    return { agentId: requireId("agent_id", agent.metadata?.id ?? "") };
  }
  const { slug, ...rest } = typeof agent === "string" ? { slug: agent } : agent;
  return { agentRef: toReference("Agent", { ...rest, slug: requireId("agent slug", slug) }, defaults) };
}

/**
 * A server that is older than `agent_ref` finds no agent named, and says so in words of its own. Nothing has happened then, so that to
 * ask again with the id is safe, also where something else was wrong.
 */
export function mayMissTheName(error: unknown): boolean {
  return (
    ClientError.is(error) &&
    error.code === "invalid-argument" &&
    !error.violations.some(({ field }) => field === "spec.agent_ref")
  );
}

/** What is wrong with the name is told of the agent, not of the run that it was for. */
export function aboutAgent(error: unknown, slug: string): unknown {
  if (!ClientError.is(error)) return error;
  const { code, violations } = error;
  const wrong = violations.find(({ field }) => field === "spec.agent_ref");
  return wrong ? new ClientError(code, `agent "${slug}": ${wrong.message}`, { cause: error, violations }) : error;
}
