import { pathToString } from "@bufbuild/protobuf/reflect";
import { pathFromViolationProto } from "@bufbuild/protovalidate";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { type DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceSchema, GetAgentInstancesByAgentRequestSchema } from "@stigmer/protos/agentinstance/v1";
import { ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { FindApiResourcesRequestSchema, ListApiResourcesRequestSchema } from "@stigmer/protos/apiresource";
import { ExecutionContextSchema } from "@stigmer/protos/executioncontext/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { PushSkillRequestSchema } from "@stigmer/protos/skill/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer({ mode: "cloud" });
});
afterEach(() => server.dispose());

const id = createId("Agent");
const apiKey = { apiVersion: "iam.stigmer.ai/v1", kind: "ApiKey", metadata: { name: "k" } };
const context = {
  apiVersion: "agentic.stigmer.ai/v1",
  kind: "ExecutionContext",
  metadata: { name: "c" },
  spec: { executionId: createId("AgentExecution") },
};
const masked = { TOKEN: { value: "********", isSecret: true } };

/** What no rule in the contract says, but a handler. */
const refusals: [string, DescMessage, Code, () => Promise<unknown>][] = [
  ["metadata.slug", AgentSchema, Code.InvalidArgument, () => server.agents.create(given.agent("日本"))],
  ["page_size", ListApiResourcesRequestSchema, Code.InvalidArgument, () => server.agents.list({ pageSize: -1 })],
  ["page_token", ListApiResourcesRequestSchema, Code.InvalidArgument, () => server.agents.list({ pageToken: "x" })],
  [
    "page_info",
    GetAgentInstancesByAgentRequestSchema,
    Code.InvalidArgument,
    () => server.instances.getByAgent({ agentId: id, pageInfo: { num: -1 } }),
  ],
  ["kind", FindApiResourcesRequestSchema, Code.InvalidArgument, () => server.organizations.find({ kind: "Agent" })],
  [
    "spec.agent_id",
    AgentInstanceSchema,
    Code.NotFound,
    () => server.instances.create(given.instance("i", createId("Agent"))),
  ],
  [
    "spec.agent_instance_id",
    SessionSchema,
    Code.NotFound,
    () => server.sessions.create(given.session("s", createId("AgentInstance"))),
  ],
  [
    "spec.workspace_dir",
    SessionSchema,
    Code.InvalidArgument,
    () => server.sessions.create(given.session("s", createId("AgentInstance"), { workspaceDir: "/tmp" })),
  ],
  [
    "spec.session_id",
    AgentExecutionSchema,
    Code.NotFound,
    () => server.executions.create(given.execution({ sessionId: createId("Session") })),
  ],
  [
    "spec.agent_id",
    AgentExecutionSchema,
    Code.NotFound,
    () => server.executions.create(given.execution({ agentId: id })),
  ],
  [
    'spec.runtime_env["TOKEN"].value',
    AgentExecutionSchema,
    Code.InvalidArgument,
    async () => {
      const agent = await server.agents.create(given.agent("a"));
      await server.executions.create(given.execution({ agentId: agent.metadata?.id, runtimeEnv: masked }));
    },
  ],
  [
    "metadata.id",
    AgentExecutionSchema,
    Code.InvalidArgument,
    () => server.executions.update(given.execution({ agentId: id })),
  ],
  ["metadata.id", ApiKeySchema, Code.InvalidArgument, () => server.apiKeys.update(apiKey)],
  [
    "spec.expires_at",
    ApiKeySchema,
    Code.InvalidArgument,
    () => server.apiKeys.create({ ...apiKey, spec: { expiresAt: { seconds: 1n } } }),
  ],
  ["spec.execution_id", ExecutionContextSchema, Code.NotFound, () => server.contexts.create(context)],
  [
    "artifact",
    PushSkillRequestSchema,
    Code.InvalidArgument,
    () => server.skills.push({ name: "x", artifact: new Uint8Array([1]) }),
  ],
];

it.each(refusals)("names %s of %s in words and as a detail", async (field, schema, code, call) => {
  const error = await call().then(
    () => undefined,
    (caught: unknown) => ConnectError.from(caught),
  );
  expect(error?.code).toBe(code);
  expect(error?.rawMessage.startsWith(`${field}: `)).toBe(true);
  const violations = error?.findDetails(ViolationsSchema).flatMap((detail) => detail.violations) ?? [];
  const paths = violations.flatMap((violation) =>
    violation.field ? [pathToString(pathFromViolationProto(schema, violation.field))] : [],
  );
  expect(paths).toEqual([field]);
  expect(`${field}: ${violations[0]?.message}`).toBe(error?.rawMessage);
});

it("refuses to refer to what another organisation has, as if it were not there", async () => {
  const a = { headers: { "x-org": "a" } };
  const b = { headers: { "x-org": "b" } };
  const agent = await server.agents.create(given.agent("mine"), a);
  const run = await server.executions.create(given.execution({ agentId: agent.metadata?.id }), a);
  const stolen = [
    () => server.instances.create(given.instance("i", agent.metadata?.id ?? ""), b),
    () => server.sessions.create(given.session("s", agent.status?.defaultInstanceId ?? ""), b),
    () => server.executions.create(given.execution({ sessionId: run.spec?.sessionId }), b),
    () => server.contexts.create({ ...context, spec: { executionId: run.metadata?.id } }, b),
  ];
  for (const attempt of stolen) await expect(attempt()).rejects.toMatchObject({ code: Code.NotFound });
});
