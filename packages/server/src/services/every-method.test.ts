// Every method of every service is held to the same four things. A method that is new has to be given its line here.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageShape,
} from "@bufbuild/protobuf";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createId, kinds, type ResourceKind } from "@stigmer/protos";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PERMISSIONS } from "../interceptors/permissions.ts";
import { type RunningServer, startServer } from "../start-server.ts";
import { API_SERVICES } from "./api-services.ts";

interface Case {
  /** The field that an empty request lacks; undefined: an empty request is one that can be answered. */
  readonly lacks?: string;
  /** A request that is right in all but what it names, which is not there. */
  readonly unknown?: object;
  /** What it is answered with. Default NOT_FOUND. */
  readonly code?: Code | "answered";
}

const missing = {
  agent: createId("Agent"),
  instance: createId("AgentInstance"),
  session: createId("Session"),
  run: createId("AgentExecution"),
} as const;

const byId = (kind: ResourceKind): Case => ({ lacks: "value", unknown: { value: createId(kind) } });
const byInput = (kind: ResourceKind): Case => ({ lacks: "resource_id", unknown: { resourceId: createId(kind) } });
const byReference: Case = { lacks: "slug", unknown: { slug: "not-there" } };
const byRun = (rest: object = {}): Case => ({ lacks: "execution_id", unknown: { executionId: missing.run, ...rest } });
const answered: Case = {};
const list: Case = { unknown: { pageToken: "not-ours" }, code: Code.InvalidArgument };

/** A whole resource; `unknown` names something by its spec or, when there is nothing to name, by its id. */
const resource = (kind: ResourceKind, spec: object, metadata: object = {}): Case => ({
  lacks: "metadata",
  unknown: { apiVersion: kinds[kind].apiVersion, kind, metadata: { name: "x", ...metadata }, spec },
});
const updated = (kind: ResourceKind, spec: object): Case => resource(kind, spec, { id: createId(kind) });
const created = (kind: ResourceKind, spec: object = {}): Case => ({ ...resource(kind, spec), code: "answered" });

const instructions = "Answer in few words.";
const stdio = { serverType: { case: "stdio", value: { command: "mcp" } } };
const lease = { taskId: missing.run, fence: 1 };

const CASES: Readonly<Record<string, Case>> = {
  "AgentCommandController/apply": created("Agent", { instructions }),
  "AgentCommandController/create": { ...created("Agent", { instructions }), code: Code.AlreadyExists },
  "AgentCommandController/update": updated("Agent", { instructions }),
  "AgentCommandController/delete": byId("Agent"),
  "AgentQueryController/get": byId("Agent"),
  "AgentQueryController/getByReference": byReference,
  "AgentQueryController/list": list,

  "AgentInstanceCommandController/apply": resource("AgentInstance", { agentId: missing.agent }),
  "AgentInstanceCommandController/create": resource("AgentInstance", { agentId: missing.agent }),
  "AgentInstanceCommandController/update": updated("AgentInstance", { agentId: missing.agent }),
  "AgentInstanceCommandController/delete": byId("AgentInstance"),
  "AgentInstanceQueryController/get": byId("AgentInstance"),
  "AgentInstanceQueryController/getByAgent": {
    lacks: "agent_id",
    unknown: { agentId: missing.agent },
    code: "answered",
  },
  "AgentInstanceQueryController/getByReference": byReference,
  "AgentInstanceQueryController/list": list,

  "SessionCommandController/apply": resource("Session", { agentInstanceId: missing.instance }),
  "SessionCommandController/create": resource("Session", { agentInstanceId: missing.instance }),
  "SessionCommandController/update": updated("Session", { agentInstanceId: missing.instance }),
  "SessionCommandController/delete": byId("Session"),
  "SessionQueryController/get": byId("Session"),
  "SessionQueryController/list": list,
  "SessionQueryController/listByAgent": { lacks: "agent_id", unknown: { agentId: missing.agent }, code: "answered" },

  "AgentExecutionCommandController/create": resource("AgentExecution", { agentId: missing.agent, message: "Hello" }),
  "AgentExecutionCommandController/update": updated("AgentExecution", { agentId: missing.agent, message: "Hello" }),
  "AgentExecutionCommandController/updateStatus": byRun({ status: {} }),
  "AgentExecutionCommandController/patchStatus": byRun({ fence: 1, sequence: 1, delta: {} }),
  "AgentExecutionCommandController/delete": byId("AgentExecution"),
  "AgentExecutionCommandController/cancel": byRun(),
  "AgentExecutionCommandController/pause": byRun(),
  "AgentExecutionCommandController/resume": byRun(),
  "AgentExecutionCommandController/sendMessage": byRun({ text: "Hello" }),
  "AgentExecutionCommandController/resolveApproval": byRun({ toolCallId: "call-1", decision: 1 }),
  "AgentExecutionQueryController/get": byId("AgentExecution"),
  "AgentExecutionQueryController/list": list,
  "AgentExecutionQueryController/listBySession": {
    lacks: "session_id",
    unknown: { sessionId: missing.session },
    code: "answered",
  },
  "AgentExecutionQueryController/subscribe": byId("AgentExecution"),
  "AgentExecutionQueryController/watch": byRun(),
  "AgentExecutionQueryController/watchSession": { lacks: "session_id", unknown: { sessionId: missing.session } },
  "AgentExecutionQueryController/watchList": answered,

  "SkillCommandController/push": {
    lacks: "name",
    unknown: { name: "x", artifact: new Uint8Array([1]) },
    code: Code.InvalidArgument,
  },
  "SkillCommandController/delete": byId("Skill"),
  "SkillQueryController/get": byId("Skill"),
  "SkillQueryController/getByReference": byReference,
  "SkillQueryController/getArtifact": {
    lacks: "artifact_storage_key",
    unknown: { artifactStorageKey: "0".repeat(64) },
  },
  "SkillQueryController/list": list,

  "EnvironmentCommandController/apply": created("Environment"),
  "EnvironmentCommandController/create": { ...created("Environment"), code: Code.AlreadyExists },
  "EnvironmentCommandController/update": updated("Environment", {}),
  "EnvironmentCommandController/delete": byInput("Environment"),
  "EnvironmentQueryController/get": byId("Environment"),
  "EnvironmentQueryController/getByReference": byReference,
  "EnvironmentQueryController/list": list,

  "ExecutionContextCommandController/apply": resource("ExecutionContext", { executionId: missing.run }),
  "ExecutionContextCommandController/create": resource("ExecutionContext", { executionId: missing.run }),
  "ExecutionContextCommandController/delete": byInput("ExecutionContext"),
  "ExecutionContextQueryController/get": byId("ExecutionContext"),
  "ExecutionContextQueryController/getByReference": byReference,

  "McpServerCommandController/apply": created("McpServer", stdio),
  "McpServerCommandController/create": { ...created("McpServer", stdio), code: Code.AlreadyExists },
  "McpServerCommandController/update": updated("McpServer", stdio),
  "McpServerCommandController/delete": byInput("McpServer"),
  "McpServerQueryController/get": byId("McpServer"),
  "McpServerQueryController/getByReference": byReference,
  "McpServerQueryController/list": list,

  "OrganizationCommandController/apply": created("Organization"),
  "OrganizationCommandController/create": { ...created("Organization"), code: Code.AlreadyExists },
  "OrganizationCommandController/update": updated("Organization", {}),
  "OrganizationCommandController/delete": byId("Organization"),
  "OrganizationQueryController/get": byId("Organization"),
  "OrganizationQueryController/find": { unknown: { kind: "Agent" }, code: Code.InvalidArgument },
  "OrganizationQueryController/findMyOrganizations": answered,

  "ApiKeyCommandController/create": created("ApiKey"),
  "ApiKeyCommandController/update": updated("ApiKey", {}),
  "ApiKeyCommandController/delete": byId("ApiKey"),
  "ApiKeyQueryController/get": byId("ApiKey"),
  "ApiKeyQueryController/getByKeyHash": { lacks: "value", unknown: { value: "0".repeat(64) } },
  "ApiKeyQueryController/findAll": answered,

  "AuditQueryController/list": list,

  "RunnerController/hello": {
    lacks: "runner_id",
    unknown: { runnerId: "r1", protocol: 999 },
    code: Code.FailedPrecondition,
  },
  "RunnerController/takeLeases": { lacks: "runner_id" },
  "RunnerController/heartbeat": { lacks: "runner_id", unknown: { runnerId: "r1", held: [lease] }, code: "answered" },
  "RunnerController/completeLease": {
    lacks: "runner_id",
    unknown: { runnerId: "r1", lease, outcome: { case: "done", value: {} } },
    code: Code.Aborted,
  },
  "RunnerController/releaseLease": { lacks: "runner_id", unknown: { runnerId: "r1", lease }, code: Code.Aborted },
  // The embedded engine gives runs with their leases; these are for runs that a workflow engine gives.
  "RunnerController/claimExecution": { ...byRun({ runnerId: "r1", claimId: "c1" }), code: Code.Unimplemented },
  "RunnerController/checkExecution": { ...byRun({ fence: 1 }), code: Code.Unimplemented },
  "RunnerController/beginToolCall": byRun({ fence: 1, callKey: "k", toolClass: 1, requestId: "q" }),
  // What a call would be refused with is an answer here.
  "RunnerController/recordToolCalls": { lacks: "entry" },
  "RunnerController/recordRun": { lacks: "entry" },
  "RunnerController/ensureThread": { lacks: "session_id", unknown: { sessionId: missing.session } },
  "RunnerController/finishToolCall": byRun({ fence: 1, callKey: "k" }),
  "RunnerController/resolveRun": byRun(),
};

const nameOf = (service: DescService, method: DescMethod): string => `${service.name}/${method.localName}`;
const methods: [string, DescMethod][] = API_SERVICES.flatMap((service) =>
  service.methods.map((method): [string, DescMethod] => [nameOf(service, method), method]),
);
const isResource = ({ input }: DescMethod): boolean =>
  ["metadata", "spec"].every((name) => input.fields.some((field) => field.name === name));

let home: string;
let server: RunningServer;
let transport: Transport;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stigmer-methods-"));
  server = await startServer({ home, port: 0 });
  transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}` });
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true, force: true });
});

/** Undefined when the call was answered; of a stream its first message is the answer. */
async function refusalOf(method: DescMethod, request: object, key = server.apiKey): Promise<ConnectError | undefined> {
  const stop = new AbortController();
  const headers = key === "" ? {} : { authorization: `Bearer ${key}` };
  const message = create(method.input, request as MessageShape<typeof method.input>);
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as DescMethodUnary, undefined, 20_000, headers, message);
      return undefined;
    }
    async function* only(): AsyncGenerator<typeof message> {
      yield message;
    }
    const { message: messages } = await transport.stream(
      method as DescMethodStreaming,
      stop.signal,
      20_000,
      headers,
      only(),
    );
    await messages[Symbol.asyncIterator]().next();
    return undefined;
  } catch (error) {
    return ConnectError.from(error);
  } finally {
    stop.abort();
  }
}

function violatedFields(error: ConnectError | undefined): string[] {
  const violations = error?.findDetails(ViolationsSchema).flatMap((detail) => detail.violations) ?? [];
  return violations.map(({ field }) => field?.elements.map(({ fieldName }) => fieldName).join(".") ?? "");
}

it("knows every method, and no other", () => {
  expect(Object.keys(CASES).toSorted()).toEqual(methods.map(([name]) => name).toSorted());
});

it("has a permission for every method, and for no other", () => {
  expect(Object.keys(PERMISSIONS).toSorted()).toEqual(methods.map(([name]) => name).toSorted());
});

describe.each(methods)("%s", (name, method) => {
  const { lacks, unknown, code = Code.NotFound } = CASES[name] ?? {};

  it("is refused without a key, and with one of nobody", async () => {
    expect((await refusalOf(method, unknown ?? {}, ""))?.code).toBe(Code.Unauthenticated);
    expect((await refusalOf(method, unknown ?? {}, "stk_of-nobody"))?.code).toBe(Code.Unauthenticated);
  });

  it("says which field an empty request lacks, or answers it", async () => {
    const refusal = await refusalOf(method, {});
    expect(refusal?.code).toBe(lacks === undefined ? undefined : Code.InvalidArgument);
    expect(lacks === undefined || violatedFields(refusal).includes(lacks), refusal?.rawMessage).toBe(true);
  });

  if (unknown === undefined) return;

  it("is answered by the right code where it names what is not there", async () => {
    const refusal = await refusalOf(method, unknown);
    expect(refusal?.code ?? "answered", refusal?.rawMessage).toBe(code);
    expect(refusal?.rawMessage ?? "").not.toMatch(/internal error|undefined|\[object/);
    expect(violatedFields(refusal).length).toBeGreaterThanOrEqual(code === Code.InvalidArgument ? 1 : 0);
  });

  if (!isResource(method)) return;

  it("says what must stand in a resource", async () => {
    const refusal = await refusalOf(method, { ...unknown, metadata: undefined, apiVersion: "v1", kind: "Thing" });
    expect(violatedFields(refusal)).toEqual(expect.arrayContaining(["api_version", "kind", "metadata"]));
    const { apiVersion, kind } = unknown as { apiVersion: string; kind: string };
    expect(refusal?.rawMessage).toContain(`api_version: value must equal "${apiVersion}"`);
    expect(refusal?.rawMessage).toContain(`kind: value must equal "${kind}"`);
    const unowned = await refusalOf(method, { ...unknown, metadata: { name: "x", ownerScope: 2 } });
    expect(unowned?.rawMessage).toContain("metadata.org is required when metadata.owner_scope is organization");
    const slugless = await refusalOf(method, { ...unknown, metadata: { name: "x", slug: "Not A Slug" } });
    expect(violatedFields(slugless)).toContain("metadata.slug");
  });
});
