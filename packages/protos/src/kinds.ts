import { agenticApiVersion, type ApiVersion, iamApiVersion, tenancyApiVersion } from "./api-version.ts";

/** What a resource says in `kind`, of the kinds that this API has messages and services for. */
export type ResourceKind =
  | "Agent"
  | "AgentExecution"
  | "AgentInstance"
  | "ApiKey"
  | "Environment"
  | "ExecutionContext"
  | "McpServer"
  | "Organization"
  | "Session"
  | "Skill";

/** Every kind that has a number and an id prefix, also those that are served elsewhere. */
export type KindName =
  | ResourceKind
  | "ApiResourceVersion"
  | "Credential"
  | "IamPolicy"
  | "IdentityAccount"
  | "Platform"
  | "Workflow"
  | "WorkflowExecution"
  | "WorkflowInstance";

/** How a kind is written in the places where it is not written by its name. */
export interface Kind {
  /** Its number in the enum `ApiResourceKind`. */
  readonly number: number;
  /** Its name in that enum, which is also how manifests refer to it (`kind: agent_instance`). */
  readonly enumValue: string;
  /** What the ids of its resources begin with. */
  readonly idPrefix: string;
}

/** A kind that this API has messages and services for. */
export interface ServedKind extends Kind {
  /** What its resources say in `api_version`. */
  readonly apiVersion: ApiVersion;
}

type Kinds = Readonly<Record<ResourceKind, ServedKind> & Record<KindName, Kind>>;

/** All kinds by name. Numbers and prefixes are in stored ids and references, so they never change. */
export const kinds: Kinds = {
  ApiResourceVersion: { number: 1, enumValue: "api_resource_version", idPrefix: "ver" },
  IamPolicy: { number: 10, enumValue: "iam_policy", idPrefix: "iamp" },
  IdentityAccount: { number: 11, enumValue: "identity_account", idPrefix: "ida" },
  ApiKey: { number: 12, enumValue: "api_key", idPrefix: "key", apiVersion: iamApiVersion },
  Credential: { number: 20, enumValue: "credential", idPrefix: "crd" },
  Organization: { number: 30, enumValue: "organization", idPrefix: "org", apiVersion: tenancyApiVersion },
  Platform: { number: 31, enumValue: "platform", idPrefix: "plt" },
  Agent: { number: 40, enumValue: "agent", idPrefix: "agt", apiVersion: agenticApiVersion },
  AgentExecution: { number: 41, enumValue: "agent_execution", idPrefix: "aex", apiVersion: agenticApiVersion },
  Session: { number: 42, enumValue: "session", idPrefix: "ses", apiVersion: agenticApiVersion },
  Skill: { number: 43, enumValue: "skill", idPrefix: "skl", apiVersion: agenticApiVersion },
  McpServer: { number: 44, enumValue: "mcp_server", idPrefix: "mcp", apiVersion: agenticApiVersion },
  AgentInstance: { number: 45, enumValue: "agent_instance", idPrefix: "ain", apiVersion: agenticApiVersion },
  Workflow: { number: 50, enumValue: "workflow", idPrefix: "wfl" },
  WorkflowInstance: { number: 51, enumValue: "workflow_instance", idPrefix: "win" },
  WorkflowExecution: { number: 52, enumValue: "workflow_execution", idPrefix: "wex" },
  Environment: { number: 53, enumValue: "environment", idPrefix: "env", apiVersion: agenticApiVersion },
  ExecutionContext: { number: 54, enumValue: "execution_context", idPrefix: "exec", apiVersion: agenticApiVersion },
};

const namesByNumber: ReadonlyMap<number, KindName> = new Map(
  Object.entries(kinds).map(([name, kind]) => [kind.number, name as KindName]),
);

/** The name of the kind that a reference names by number, or undefined for 0 and numbers that no kind has. */
export function kindNameOf(number: number): KindName | undefined {
  return namesByNumber.get(number);
}
