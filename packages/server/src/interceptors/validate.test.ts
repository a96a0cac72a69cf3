import { createClient, Code, ConnectError } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serve, type Served } from "../http/__fixtures__/serve.ts";
import { validateRequests } from "./validate.ts";

let server: Served;
beforeEach(async () => {
  server = await serve({
    routes: (router) => {
      router.service(AgentCommandController, { create: (agent) => agent });
      router.service(AgentExecutionQueryController, { async *watch() {} });
    },
    interceptors: [validateRequests()],
  });
});
afterEach(() => server.close());

const agent = {
  apiVersion: "agentic.stigmer.ai/v1",
  kind: "Agent",
  metadata: { name: "a" },
  spec: { instructions: "Answer in few words." },
};

async function refusal(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.catch((caught: unknown) => caught);
  if (!(error instanceof ConnectError)) throw new Error("The call was taken.");
  expect(error.code).toBe(Code.InvalidArgument);
  return error;
}

it.each([
  ["another version", { apiVersion: "agentic.stigmer.ai/v2" }, 'api_version: value must equal "agentic.stigmer.ai/v1"'],
  ["no version", { apiVersion: "" }, 'api_version: value must equal "agentic.stigmer.ai/v1"'],
  ["another kind", { kind: "agent" }, 'kind: value must equal "Agent"'],
  ["no kind", { kind: "" }, 'kind: value must equal "Agent"'],
])("says what must stand there instead of %s", async (_what, given, message) => {
  const error = await refusal(createClient(AgentCommandController, server.transport).create({ ...agent, ...given }));
  expect(error.rawMessage).toBe(message);
});

it("names all violations in one message, and carries each as a detail", async () => {
  const given = { ...agent, apiVersion: "v1", kind: "Session", metadata: undefined };
  for (const transport of [server.transport, createConnectTransport({ baseUrl: server.baseUrl, httpVersion: "1.1" })]) {
    const error = await refusal(createClient(AgentCommandController, transport).create(given));
    expect(error.rawMessage.split("; ")).toEqual([
      'api_version: value must equal "agentic.stigmer.ai/v1"',
      'kind: value must equal "Agent"',
      "metadata: value is required",
    ]);
    const [detail] = error.findDetails(ViolationsSchema);
    const violations = detail?.violations.map(({ field, ruleId }) => [field?.elements[0]?.fieldName, ruleId]);
    expect(violations).toEqual([
      ["api_version", "string.const"],
      ["kind", "string.const"],
      ["metadata", "required"],
    ]);
  }
});

it("says the same of a call that is answered by a stream", async () => {
  const watch = createClient(AgentExecutionQueryController, server.transport).watch({});
  const error = await refusal(watch[Symbol.asyncIterator]().next());
  expect(error.rawMessage).toMatch(/^execution_id: /);
  expect(error.rawMessage).not.toContain("[");
  expect(error.findDetails(ViolationsSchema)).toHaveLength(1);
});
