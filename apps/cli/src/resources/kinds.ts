import type { DescMessage, Message } from "@bufbuild/protobuf";
import { ClientError, type DeleteOptions, type Page, type StigmerClient } from "@stigmer/client";
import { isId, type ResourceKind, slugify } from "@stigmer/protos";
import { type Agent, AgentSchema } from "@stigmer/protos/agent/v1";
import { type AgentExecution, AgentExecutionSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type AgentInstance, AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import type { ApiResourceAudit, ApiResourceMetadata } from "@stigmer/protos/apiresource";
import { type Environment, EnvironmentSchema } from "@stigmer/protos/environment/v1";
import { type McpServer, McpServerSchema } from "@stigmer/protos/mcpserver/v1";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { type Skill, SkillSchema } from "@stigmer/protos/skill/v1";
import { closest } from "../closest.ts";
import { CliError } from "../errors.ts";

/** A resource of any kind. */
export type Resource = Message & {
  readonly metadata?: ApiResourceMetadata;
  readonly status?: { readonly audit?: ApiResourceAudit };
};

/** Labels with their values. */
export type Labels = Readonly<Record<string, string>>;

interface Calls<T> {
  get(id: string): Promise<T>;
  /** `force` takes along what depends on the resource, where the server would refuse else. */
  delete(id: string, options?: DeleteOptions): Promise<T>;
  list(input: { pageSize: number; pageToken: string; labels: Labels }): Promise<Page<T>>;
  /** Absent for kinds whose names mean nothing to people: those are found by id alone. */
  getByReference?(reference: { slug: string }): Promise<T>;
}

interface KindTable<T extends Resource> {
  readonly schema: DescMessage;
  /** How people call it: the first is shown. The kind's own name and all plurals are understood too. */
  readonly names: readonly [string, ...string[]];
  /** Whether its resources have names that people give them. Others are found by id alone. */
  readonly named: boolean;
  readonly calls: (client: StigmerClient) => Calls<T>;
  /** What a table shows between NAME, ID and AGE. */
  readonly columns: Readonly<Record<string, (resource: T) => string>>;
}

/** A kind that `get`, `list` and `delete` know. */
export interface CliKind extends KindTable<Resource> {
  readonly kind: ResourceKind;
}

function define<T extends Resource>(kind: ResourceKind, table: KindTable<T>): CliKind {
  // The calls of a kind get and give resources of that kind alone, so the wider type is never acted upon.
  return { kind, ...(table as unknown as KindTable<Resource>) };
}

const cliKinds: readonly CliKind[] = [
  define<Agent>("Agent", {
    schema: AgentSchema,
    names: ["agent"],
    named: true,
    calls: (client) => client.agents,
    columns: { DESCRIPTION: ({ spec }) => spec?.description ?? "" },
  }),
  define<AgentInstance>("AgentInstance", {
    schema: AgentInstanceSchema,
    names: ["instance"],
    named: true,
    calls: (client) => client.agentInstances,
    columns: { AGENT: ({ spec }) => spec?.agentId ?? "" },
  }),
  define<Session>("Session", {
    schema: SessionSchema,
    names: ["session"],
    named: false,
    calls: (client) => client.sessions,
    columns: { INSTANCE: ({ spec }) => spec?.agentInstanceId ?? "", SUBJECT: ({ spec }) => spec?.subject ?? "" },
  }),
  define<AgentExecution>("AgentExecution", {
    schema: AgentExecutionSchema,
    names: ["execution", "run"],
    named: false,
    calls: (client) => client.executions,
    columns: {
      PHASE: ({ status }) => showPhase(status?.phase ?? ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED),
      SESSION: ({ spec }) => spec?.sessionId ?? "",
      MESSAGE: ({ spec }) => spec?.message ?? "",
    },
  }),
  define<Skill>("Skill", {
    schema: SkillSchema,
    names: ["skill"],
    named: true,
    calls: (client) => client.skills,
    columns: { TAG: ({ spec }) => spec?.tag ?? "", VERSION: ({ status }) => status?.versionHash.slice(0, 12) ?? "" },
  }),
  define<Environment>("Environment", {
    schema: EnvironmentSchema,
    names: ["environment", "env"],
    named: true,
    calls: (client) => client.environments,
    columns: { VARIABLES: ({ spec }) => Object.keys(spec?.data ?? {}).join(", ") },
  }),
  define<McpServer>("McpServer", {
    schema: McpServerSchema,
    names: ["mcpserver", "mcp"],
    named: true,
    calls: (client) => client.mcpServers,
    columns: { TYPE: ({ spec }) => spec?.serverType.case ?? "" },
  }),
];

/** How a resource of the kind is told from others: by its slug where it has one that means something. */
export function nameOf({ named }: CliKind, { metadata }: Resource): string {
  return (named ? metadata?.slug : undefined) || (metadata?.id ?? "");
}

/** `EXECUTION_IN_PROGRESS` → `in progress`. */
export function showPhase(phase: ExecutionPhase): string {
  return (ExecutionPhase[phase] ?? "")
    .replace(/^EXECUTION_/, "")
    .replaceAll("_", " ")
    .toLowerCase();
}

const normal = (text: string): string => text.toLowerCase().replace(/[-_ ]/g, "");

const kindsByName: ReadonlyMap<string, CliKind> = new Map(
  cliKinds.flatMap((kind) =>
    [...kind.names, kind.kind].flatMap((name) => [name, `${name}s`].map((n) => [normal(n), kind])),
  ),
);

/** How people call the kinds. */
export const kindNames: readonly string[] = cliKinds.map(({ names }) => names[0]);

/** Understands `agent`, `agents`, `Agent`, `agent-instance`, `env` …; throws a usage error that names what is near. */
export function findKind(text: string): CliKind {
  const kind = kindsByName.get(normal(text));
  if (kind !== undefined) return kind;
  const near = closest(normal(text), [...kindsByName.keys()]);
  const known = kindNames.join(", ");
  const advice = near === undefined ? `the kinds are ${known}` : `did you mean ${kindsByName.get(near)?.names[0]}?`;
  throw new CliError("usage", `unknown kind '${text}': ${advice}`);
}

/** Whether an error says that what was asked for is not there. */
export function isMissing(error: unknown): boolean {
  return (ClientError.is(error) && error.code === "not-found") || (CliError.is(error) && isMissing(error.cause));
}

/** Finds a resource by its id, or by its name where resources of that kind have names. */
export async function findResource(client: StigmerClient, kind: CliKind, nameOrId: string): Promise<Resource> {
  const [noun] = kind.names;
  const calls = kind.calls(client);
  const advice = `list them with \`stigmer list ${noun}s\``;
  try {
    if (isId(nameOrId, kind.kind)) return await calls.get(nameOrId);
    const slug = slugify(nameOrId);
    if (calls.getByReference !== undefined && slug !== "") return await calls.getByReference({ slug });
  } catch (error) {
    if (!ClientError.is(error) || error.code !== "not-found") throw error;
    throw new CliError("failed", `There is no ${noun} "${nameOrId}": ${advice}`, { cause: error });
  }
  const expected = kind.named ? "neither a name nor an id" : `no ${noun}'s id`;
  throw new CliError("failed", `"${nameOrId}" is ${expected}: ${advice}`);
}

/** All resources of a kind that carry all of the labels, page after page. */
export async function listResources(client: StigmerClient, kind: CliKind, labels: Labels = {}): Promise<Resource[]> {
  const calls = kind.calls(client);
  const resources: Resource[] = [];
  let pageToken = "";
  do {
    const page = await calls.list({ pageSize: 200, pageToken, labels });
    resources.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return resources;
}
