import { create, type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, test } from "vitest";
import * as agent from "./gen/ai/stigmer/agentic/agent/v1/index.js";
import * as execution from "./gen/ai/stigmer/agentic/agentexecution/v1/index.js";
import * as instance from "./gen/ai/stigmer/agentic/agentinstance/v1/index.js";
import * as environment from "./gen/ai/stigmer/agentic/environment/v1/index.js";
import * as context from "./gen/ai/stigmer/agentic/executioncontext/v1/index.js";
import * as mcp from "./gen/ai/stigmer/agentic/mcpserver/v1/index.js";
import * as runner from "./gen/ai/stigmer/agentic/runner/v1/index.js";
import * as session from "./gen/ai/stigmer/agentic/session/v1/index.js";
import * as skill from "./gen/ai/stigmer/agentic/skill/v1/index.js";
import * as resource from "./gen/ai/stigmer/commons/apiresource/index.js";
import * as apiKey from "./gen/ai/stigmer/iam/apikey/v1/index.js";
import * as organization from "./gen/ai/stigmer/tenancy/organization/v1/index.js";

const validator = createValidator();

/** What is wrong with a message given as JSON: `path: rule`, in order. */
function violationsOf(schema: DescMessage, json: JsonValue): string[] {
  const result = validator.validate(schema, fromJson(schema, json));
  if (result.kind === "error") {
    throw result.error;
  }
  return (result.violations ?? []).map(({ field, ruleId }) => `${pathToString(field)}: ${ruleId}`);
}

const apiVersion = "agentic.stigmer.ai/v1";
const ulid = "01arz3ndektsv4rrffq69g5fav";
const metadata = { name: "x" };
const instructions = "Review the code.";
const agentJson = { apiVersion, kind: "Agent", metadata, spec: { instructions } };
const executionJson = {
  apiVersion,
  kind: "AgentExecution",
  metadata,
  spec: { agentId: `agt-${ulid}`, message: "Hello" },
};
const instanceJson = { apiVersion, kind: "AgentInstance", metadata, spec: { agentId: `agt-${ulid}` } };
const sessionJson = { apiVersion, kind: "Session", metadata, spec: { agentInstanceId: `ain-${ulid}` } };
const environmentJson = { apiVersion, kind: "Environment", metadata, spec: { data: { A: { value: "1" } } } };
const contextJson = { apiVersion, kind: "ExecutionContext", metadata, spec: { executionId: `aex-${ulid}` } };
const mcpJson = { apiVersion, kind: "McpServer", metadata, spec: { stdio: { command: "npx" } } };
const skillJson = { apiVersion, kind: "Skill", metadata, spec: { skillMd: "# Skill" } };
const apiKeyJson = { apiVersion: "iam.stigmer.ai/v1", kind: "ApiKey", metadata };
const organizationJson = { apiVersion: "tenancy.stigmer.ai/v1", kind: "Organization", metadata };

const resources: [DescMessage, Record<string, JsonValue>, prefix: string][] = [
  [agent.AgentSchema, agentJson, "agt"],
  [execution.AgentExecutionSchema, executionJson, "aex"],
  [instance.AgentInstanceSchema, instanceJson, "ain"],
  [session.SessionSchema, sessionJson, "ses"],
  [environment.EnvironmentSchema, environmentJson, "env"],
  [context.ExecutionContextSchema, contextJson, "exec"],
  [mcp.McpServerSchema, mcpJson, "mcp"],
  [skill.SkillSchema, skillJson, "skl"],
  [apiKey.ApiKeySchema, apiKeyJson, "key"],
  [organization.OrganizationSchema, organizationJson, "org"],
];

const numbered = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${index}`, ""]));

/** As long as each of it may be. */
const longest: Record<string, JsonValue> = {
  name: "é".repeat(1024),
  slug: "a".repeat(253),
  org: "o".repeat(253),
  labels: { ...numbered(255), ["k".repeat(317)]: "v".repeat(1024) },
  tags: [...Object.keys(numbered(255)), "t".repeat(256)],
};

describe.each(resources)("every resource: %s", (schema, json, prefix) => {
  const withMetadata = (more: Record<string, JsonValue>): JsonValue => ({
    ...json,
    metadata: { ...metadata, ...more },
  });

  test("needs no more than a name", () => {
    expect(violationsOf(schema, json)).toEqual([]);
  });

  test.each<[string, Record<string, JsonValue>]>([
    ["an id of its kind", { id: `${prefix}-${ulid}` }],
    ["an empty id and slug, for the server to fill", { id: "", slug: "" }],
    ["a slug", { slug: "my-agent-2" }],
    ["an owning organization", { ownerScope: "organization", org: "local" }],
    ["an organization without a scope", { org: "local" }],
    ["what is long", longest],
  ])("takes %s", (_, more) => {
    expect(violationsOf(schema, withMetadata(more))).toEqual([]);
  });

  test.each<[string, Record<string, JsonValue>, string]>([
    ["no name", { name: "" }, "metadata.name: string.min_len"],
    ["an organization's resource without one", { ownerScope: "organization" }, "metadata: metadata.org.required"],
    ["an owner scope that does not exist", { ownerScope: 9 }, "metadata.owner_scope: enum.defined_only"],
    ["an id in upper case", { id: `${prefix}-${ulid.toUpperCase()}` }, "metadata.id: metadata.id"],
    ["a slug with a space", { slug: "a b" }, "metadata.slug: metadata.slug"],
    ["a slug with two hyphens in a row", { slug: "a--b" }, "metadata.slug: metadata.slug"],
    ["a slug that ends in a hyphen", { slug: "a-" }, "metadata.slug: metadata.slug"],
    ["a name of 1025 characters", { name: "é".repeat(1025) }, "metadata.name: string.max_len"],
    ["a slug of 254", { slug: "a".repeat(254) }, "metadata.slug: string.max_bytes"],
    ["an organization of 254 bytes", { org: "é".repeat(127) }, "metadata.org: string.max_bytes"],
    ["257 labels", { labels: numbered(257) }, "metadata.labels: map.max_pairs"],
    [
      "a label's key of 318 bytes",
      { labels: { ["k".repeat(318)]: "" } },
      `metadata.labels["${"k".repeat(318)}"]: string.max_bytes`,
    ],
    ["a label's value of 1025 bytes", { labels: { k: "v".repeat(1025) } }, 'metadata.labels["k"]: string.max_bytes'],
    ["257 tags", { tags: Object.keys(numbered(257)) }, "metadata.tags: repeated.max_items"],
    ["a tag of 257 bytes", { tags: ["t".repeat(257)] }, "metadata.tags[0]: string.max_bytes"],
  ])("refuses %s", (_, more, violation) => {
    expect(violationsOf(schema, withMetadata(more))).toContain(violation);
  });

  test("refuses an id of another kind", () => {
    expect(violationsOf(schema, withMetadata({ id: `wfl-${ulid}` }))).toEqual([
      expect.stringMatching(/^metadata: \w+\.metadata\.id$/),
    ]);
  });

  test("refuses other constants, and no metadata", () => {
    expect(violationsOf(schema, { ...json, apiVersion: "v2", kind: "agent" })).toEqual([
      "api_version: string.const",
      "kind: string.const",
    ]);
    const { metadata: _, ...without } = json;
    expect(violationsOf(schema, without)).toEqual(["metadata: required"]);
  });
});

describe("owner scopes", () => {
  const accepts = (schema: DescMessage, json: Record<string, JsonValue>): string[] =>
    ["platform", "organization", "identity_account"].filter(
      (ownerScope) =>
        violationsOf(schema, { ...json, metadata: { ...metadata, org: "local", ownerScope } }).length === 0,
    );

  test.each<[string, DescMessage, Record<string, JsonValue>, string[]]>([
    ["agents", agent.AgentSchema, agentJson, ["platform", "organization"]],
    ["skills", skill.SkillSchema, skillJson, ["platform", "organization"]],
    ["sessions", session.SessionSchema, sessionJson, ["organization", "identity_account"]],
    ["environments", environment.EnvironmentSchema, environmentJson, ["organization", "identity_account"]],
    ["instances", instance.AgentInstanceSchema, instanceJson, ["platform", "organization", "identity_account"]],
    ["servers", mcp.McpServerSchema, mcpJson, ["platform", "organization", "identity_account"]],
  ])("of %s", (_, schema, json, scopes) => {
    expect(accepts(schema, json)).toEqual(scopes);
  });
});

describe("ids", () => {
  test.each([
    agent.AgentIdSchema,
    execution.AgentExecutionIdSchema,
    execution.SessionIdSchema,
    instance.AgentInstanceIdSchema,
    environment.EnvironmentIdSchema,
    context.ExecutionContextIdSchema,
    mcp.McpServerIdSchema,
    session.SessionIdSchema,
    session.AgentIdSchema,
    skill.SkillIdSchema,
    resource.ApiResourceIdSchema,
    apiKey.ApiKeyIdSchema,
    organization.OrganizationIdSchema,
  ])("%s is not empty", (schema) => {
    expect(violationsOf(schema, {})).toEqual(["value: string.min_len"]);
    expect(violationsOf(schema, { value: "any" })).toEqual([]);
  });
});

const agentWith = (spec: Record<string, JsonValue>): JsonValue => ({ ...agentJson, spec: { instructions, ...spec } });
const serverWith = (server: Record<string, JsonValue>): JsonValue =>
  agentWith({ mcpServers: [{ name: "s", ...server }] });
const mcpWith = (spec: Record<string, JsonValue>): JsonValue => ({ ...mcpJson, spec });
const executionWith = (spec: Record<string, JsonValue>): JsonValue => ({ ...executionJson, spec });
const instanceWith = (ref: Record<string, JsonValue>): JsonValue => ({
  ...instanceJson,
  spec: { agentId: `agt-${ulid}`, environmentRefs: [ref] },
});
const delta = (change: Record<string, JsonValue>): JsonValue => ({ changes: [change] });
const patch = { executionId: "aex-1", fence: 1, sequence: 1, delta: {} };
const lease = { taskId: "t", fence: 1 };

describe("refused", () => {
  test.each<[string, DescMessage, JsonValue, string[]]>([
    ["an agent without a spec", agent.AgentSchema, { apiVersion, kind: "Agent", metadata }, ["spec: required"]],
    [
      "short instructions",
      agent.AgentSchema,
      agentWith({ instructions: "Do it." }),
      ["spec.instructions: string.min_len"],
    ],
    [
      "a nameless sub-agent",
      agent.AgentSchema,
      agentWith({ subAgents: [{ instructions }] }),
      ["spec.sub_agents[0].name: string.min_len"],
    ],
    [
      "a sub-agent with short instructions",
      agent.AgentSchema,
      agentWith({ subAgents: [{ name: "s", instructions: "Do it." }] }),
      ["spec.sub_agents[0].instructions: string.min_len"],
    ],
    [
      "a skill reference of another kind",
      agent.AgentSchema,
      agentWith({ skillRefs: [{ kind: "agent", slug: "s" }] }),
      ["spec.skill_refs[0]: skill_refs.kind"],
    ],
    [
      "a skill reference of another kind in a sub-agent",
      agent.AgentSchema,
      agentWith({ subAgents: [{ name: "s", instructions, skillRefs: [{ slug: "s" }] }] }),
      ["spec.sub_agents[0].skill_refs[0]: skill_refs.kind"],
    ],
    ["a nameless server", agent.AgentSchema, serverWith({ name: "" }), ["spec.mcp_servers[0].name: string.min_len"]],
    [
      "a stdio server without a command",
      agent.AgentSchema,
      serverWith({ stdio: {} }),
      ["spec.mcp_servers[0].stdio.command: string.min_len"],
    ],
    [
      "an HTTP server without a URL",
      agent.AgentSchema,
      serverWith({ http: {} }),
      ["spec.mcp_servers[0].http.url: string.min_len"],
    ],
    [
      "a container server without an image, with bad mounts and ports",
      agent.AgentSchema,
      serverWith({ docker: { volumes: [{}], ports: [{ hostPort: 0, containerPort: 65536, protocol: "sctp" }] } }),
      [
        "spec.mcp_servers[0].docker.image: string.min_len",
        "spec.mcp_servers[0].docker.volumes[0].host_path: string.min_len",
        "spec.mcp_servers[0].docker.volumes[0].container_path: string.min_len",
        "spec.mcp_servers[0].docker.ports[0].host_port: int32.gte_lte",
        "spec.mcp_servers[0].docker.ports[0].container_port: int32.gte_lte",
        "spec.mcp_servers[0].docker.ports[0].protocol: string.in",
      ],
    ],
    [
      "a stored stdio server without a command",
      mcp.McpServerSchema,
      mcpWith({ stdio: {} }),
      ["spec.stdio.command: string.min_len"],
    ],
    ["a stored HTTP server without a URL", mcp.McpServerSchema, mcpWith({ http: {} }), ["spec.http.url: required"]],
    [
      "a stored HTTP server with a bad URL and time-out",
      mcp.McpServerSchema,
      mcpWith({ http: { url: "not a url", timeoutSeconds: 301 } }),
      ["spec.http.url: string.uri", "spec.http.timeout_seconds: int32.gte_lte"],
    ],
    [
      "a stored container server without an image, with bad mounts and ports",
      mcp.McpServerSchema,
      mcpWith({ docker: { volumes: [{}], ports: [{ hostPort: -1, containerPort: 80, protocol: "TCP" }] } }),
      [
        "spec.docker.image: string.min_len",
        "spec.docker.volumes[0].host_path: string.min_len",
        "spec.docker.volumes[0].container_path: string.min_len",
        "spec.docker.ports[0].host_port: int32.gte_lte",
        "spec.docker.ports[0].protocol: string.in",
      ],
    ],
    [
      "an instance of no agent",
      instance.AgentInstanceSchema,
      { ...instanceJson, spec: {} },
      ["spec.agent_id: string.min_len"],
    ],
    [
      "an environment reference of another kind",
      instance.AgentInstanceSchema,
      instanceWith({ kind: "skill", slug: "e" }),
      ["spec.environment_refs[0]: environment_refs.kind"],
    ],
    ["the instances of no agent", instance.GetAgentInstancesByAgentRequestSchema, {}, ["agent_id: string.min_len"]],
    [
      "a session of no instance",
      session.SessionSchema,
      { ...sessionJson, spec: {} },
      ["spec.agent_instance_id: string.min_len"],
    ],
    [
      "a relative workspace",
      session.SessionSchema,
      { ...sessionJson, spec: { agentInstanceId: "ain-1", workspaceDir: "work" } },
      ["spec.workspace_dir: session.workspace_dir"],
    ],
    [
      "a sandbox of no known kind",
      session.SessionSchema,
      { ...sessionJson, spec: { agentInstanceId: "ain-1", sandboxType: 99 } },
      ["spec.sandbox_type: enum.defined_only"],
    ],
    ["the sessions of no agent", session.ListSessionsByAgentRequestSchema, {}, ["agent_id: string.min_len"]],
    [
      "a run of neither session nor agent",
      execution.AgentExecutionSchema,
      executionWith({ message: "Hello" }),
      ["spec: agent_execution.session_or_agent.required"],
    ],
    [
      "a run without a message",
      execution.AgentExecutionSchema,
      executionWith({ agentId: "agt-1" }),
      ["spec.message: string.min_len"],
    ],
    [
      "a variable without a value",
      execution.AgentExecutionSchema,
      executionWith({ agentId: "agt-1", message: "Hello", runtimeEnv: { TOKEN: { isSecret: true } } }),
      ['spec.runtime_env["TOKEN"].value: string.min_len'],
    ],
    [
      "no status",
      execution.AgentExecutionUpdateStatusInputSchema,
      {},
      ["execution_id: string.min_len", "status: required"],
    ],
    [
      "states that do not exist",
      execution.AgentExecutionUpdateStatusInputSchema,
      {
        executionId: "aex-1",
        status: {
          phase: 9,
          messages: [{ type: 5, toolCalls: [{ status: 5 }] }],
          todos: { a: { status: 5 } },
          subAgentExecutions: [{ status: 5 }],
        },
      },
      [
        "status.messages[0].type: enum.defined_only",
        "status.messages[0].tool_calls[0].status: enum.defined_only",
        "status.phase: enum.defined_only",
        "status.sub_agent_executions[0].status: enum.defined_only",
        'status.todos["a"].status: enum.defined_only',
      ],
    ],
    ["the runs of no session", execution.ListAgentExecutionsBySessionRequestSchema, {}, ["session_id: string.min_len"]],
    [
      "an empty patch",
      execution.PatchStatusInputSchema,
      {},
      ["execution_id: string.min_len", "fence: uint32.gt", "sequence: uint32.gt", "delta: required"],
    ],
    ["a change of nothing", execution.StatusDeltaSchema, delta({}), ["changes[0].change: required"]],
    [
      "a message without id and type",
      execution.StatusDeltaSchema,
      delta({ messageStarted: {} }),
      ["changes[0].message_started.message_id: string.min_len", "changes[0].message_started.type: enum.not_in"],
    ],
    [
      "text of no message and kind",
      execution.StatusDeltaSchema,
      delta({ textAppended: { text: "a" } }),
      ["changes[0].text_appended.message_id: string.min_len", "changes[0].text_appended.kind: enum.not_in"],
    ],
    [
      "a tool call without id",
      execution.StatusDeltaSchema,
      delta({ toolCall: { call: {} } }),
      ["changes[0].tool_call.call: tool_call.id.required"],
    ],
    ["no tool call", execution.StatusDeltaSchema, delta({ toolCall: {} }), ["changes[0].tool_call.call: required"]],
    [
      "a sub-agent's task without id",
      execution.StatusDeltaSchema,
      delta({ subAgent: { subAgent: {} } }),
      ["changes[0].sub_agent.sub_agent: sub_agent.id.required"],
    ],
    ["a cancelled nothing", execution.CancelAgentExecutionInputSchema, {}, ["execution_id: string.min_len"]],
    ["a watched nothing", execution.WatchAgentExecutionRequestSchema, {}, ["execution_id: string.min_len"]],
    [
      "a context of no run, with an empty value",
      context.ExecutionContextSchema,
      { ...contextJson, spec: { data: { A: {} } } },
      ["spec.execution_id: string.min_len", 'spec.data["A"].value: string.min_len'],
    ],
    ["an empty skill", skill.SkillSchema, { ...skillJson, spec: {} }, ["spec.skill_md: string.min_len"]],
    [
      "a short version hash",
      skill.SkillSchema,
      { ...skillJson, status: { versionHash: "abc" } },
      ["status.version_hash: skill.version_hash"],
    ],
    ["a push of nothing", skill.PushSkillRequestSchema, {}, ["name: string.min_len", "artifact: bytes.min_len"]],
    [
      "a push with a bad tag, to no organization",
      skill.PushSkillRequestSchema,
      { name: "s", artifact: "AA==", tag: "a b", scope: "organization" },
      [": push_skill.org.required", "tag: push_skill.tag"],
    ],
    [
      "a push to an account",
      skill.PushSkillRequestSchema,
      { name: "s", artifact: "AA==", scope: "identity_account" },
      ["scope: push_skill.scope"],
    ],
    ["the archive of nothing", skill.GetArtifactRequestSchema, {}, ["artifact_storage_key: string.min_len"]],
    ["a deletion of nothing", resource.ApiResourceDeleteInputSchema, {}, ["resource_id: string.min_len"]],
    [
      "a reference to nothing in a bad version",
      resource.ApiResourceReferenceSchema,
      { version: "a b" },
      ["slug: string.min_len", "version: reference.version"],
    ],
    [
      "a reference to a kind that does not exist",
      resource.ApiResourceReferenceSchema,
      { slug: "s", kind: 99 },
      ["kind: enum.defined_only"],
    ],
    ["a page too large", resource.ListApiResourcesRequestSchema, { pageSize: 1001 }, ["page_size: int32.gte_lte"]],
    [
      "a runner that offers nothing",
      runner.TakeLeasesRequestSchema,
      { held: [{}] },
      [
        "runner_id: string.min_len",
        "task_queue: string.min_len",
        "max_concurrency: int32.gte_lte",
        "held[0].task_id: string.min_len",
        "held[0].fence: uint32.gt",
      ],
    ],
    [
      "an outcome of nothing",
      runner.CompleteLeaseRequestSchema,
      { runnerId: "r" },
      ["lease: required", "outcome: required"],
    ],
  ])("%s", (_, schema, json, violations) => {
    expect(violationsOf(schema, json).sort()).toEqual(violations.sort());
  });
});

describe("accepted", () => {
  test.each<[string, DescMessage, JsonValue]>([
    [
      "a run that goes on with a session",
      execution.AgentExecutionSchema,
      executionWith({ sessionId: "ses-1", message: "Hi" }),
    ],
    [
      "a reference without a kind, as an older command line sends it",
      resource.ApiResourceReferenceSchema,
      { scope: "organization", org: "local", slug: "my-agent" },
    ],
    [
      "an environment that an older client takes for a workflow execution",
      instance.AgentInstanceSchema,
      instanceWith({ kind: 52, slug: "staging" }),
    ],
    ["an environment reference", instance.AgentInstanceSchema, instanceWith({ kind: "environment", slug: "staging" })],
    [
      "a skill reference by tag",
      agent.AgentSchema,
      agentWith({ skillRefs: [{ kind: "skill", slug: "s", version: "v1.0_rc-2" }] }),
    ],
    [
      "a skill reference by hash",
      agent.AgentSchema,
      agentWith({ skillRefs: [{ kind: "skill", slug: "s", version: "0123456789abcdef".repeat(4) }] }),
    ],
    ["the latest version", resource.ApiResourceReferenceSchema, { slug: "s", version: "latest" }],
    ["a server whose URL has a variable", agent.AgentSchema, serverWith({ http: { url: "https://${HOST}/mcp" } })],
    [
      "a port without a protocol",
      agent.AgentSchema,
      serverWith({ docker: { image: "i", ports: [{ hostPort: 1, containerPort: 65535 }] } }),
    ],
    [
      "an environment with declared variables",
      environment.EnvironmentSchema,
      { ...environmentJson, spec: { data: { A: {} } } },
    ],
    [
      "the whole status of an older runner",
      execution.AgentExecutionUpdateStatusInputSchema,
      {
        executionId: "aex-1",
        status: {
          phase: "EXECUTION_IN_PROGRESS",
          messages: [{ type: "MESSAGE_AI", content: "Hi", toolCalls: [{ id: "c", status: "TOOL_CALL_RUNNING" }] }],
          todos: { a: { id: "a", status: "TODO_PENDING" } },
        },
      },
    ],
    ["a push without scope and tag", skill.PushSkillRequestSchema, { name: "s", artifact: "AA==" }],
    [
      "a patch of every sort of change",
      execution.PatchStatusInputSchema,
      {
        ...patch,
        delta: {
          changes: [
            { run: { phase: "EXECUTION_TERMINATED" } },
            { messageStarted: { messageId: "m", type: "MESSAGE_AI" } },
            { textAppended: { messageId: "m", kind: "TEXT_KIND_REASONING", text: "Hm" } },
            { messageRemoved: { messageId: "m" } },
            { toolCall: { call: { id: "c", status: "TOOL_CALL_OUTCOME_UNKNOWN" } } },
            { todos: {} },
            { subAgent: { subAgent: { id: "s", status: "SUB_AGENT_CANCELLED" } } },
            { usage: { inputTokens: 4_000_000_000 } },
            { merged: {} },
            { toolCallRemoved: { toolCallId: "c" } },
          ],
        },
      },
    ],
    ["a completed lease", runner.CompleteLeaseRequestSchema, { runnerId: "r", lease, done: {} }],
    ["a released lease", runner.ReleaseLeaseRequestSchema, { runnerId: "r", lease }],
  ])("%s", (_, schema, json) => {
    expect(violationsOf(schema, json)).toEqual([]);
  });
});

test("every rule of every message can be evaluated", () => {
  const packages = [
    agent,
    execution,
    instance,
    environment,
    context,
    mcp,
    runner,
    session,
    skill,
    resource,
    apiKey,
    organization,
  ];
  const schemas = packages
    .flatMap((exported): unknown[] => Object.values(exported))
    .filter((value): value is DescMessage => (value as { kind?: string }).kind === "message");
  expect(schemas.length).toBeGreaterThan(110);
  const broken = schemas.filter((schema) => validator.validate(schema, create(schema)).kind === "error");
  expect(broken.map((schema) => schema.typeName)).toEqual([]);
});
