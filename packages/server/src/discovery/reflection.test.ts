import { create, createFileRegistry, fromBinary, type FileRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { Health } from "@stigmer/protos/grpc/health/v1";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "@stigmer/protos/grpc/reflection/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serve, type Served } from "../http/__fixtures__/serve.ts";
import { API_SERVICES } from "../services/api-services.ts";
import { createReflection } from "./reflection.ts";

const services = [...API_SERVICES, Health, ServerReflection];
const agents = "ai.stigmer.agentic.agent.v1";

let server: Served;
beforeAll(async () => {
  const reflection = createReflection(services);
  server = await serve({ routes: (router) => void router.service(ServerReflection, reflection) });
});
afterAll(() => server.close());

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;

/** Asks over one stream, as grpcurl does. */
async function ask(...questions: Question[]): Promise<ServerReflectionResponse[]> {
  async function* requests() {
    for (const messageRequest of questions) yield { host: "here", messageRequest };
  }
  return Array.fromAsync(createClient(ServerReflection, server.transport).serverReflectionInfo(requests()));
}

async function askOne(question: Question): Promise<ServerReflectionResponse["messageResponse"]> {
  return (await ask(question))[0]?.messageResponse ?? { case: undefined };
}

/** What a client makes of the files; throws when one that is imported is missing. */
function registryOf(response: ServerReflectionResponse["messageResponse"]): FileRegistry {
  if (response.case !== "fileDescriptorResponse") throw new Error(`There is no file, but ${response.case}.`);
  const files = response.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  const sorted = new Set<FileDescriptorProto>();
  const addImportsFirst = (file: FileDescriptorProto): void => {
    if (sorted.has(file)) return;
    for (const imported of file.dependency) {
      const found = files.find(({ name }) => name === imported);
      if (!found) throw new Error(`${file.name} imports ${imported}, which is not there.`);
      addImportsFirst(found);
    }
    sorted.add(file);
  };
  files.forEach(addImportsFirst);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...sorted] }));
}

describe("reflection", () => {
  it("lists every service", async () => {
    const answer = await askOne({ case: "listServices", value: "" });
    const names = answer.case === "listServicesResponse" ? answer.value.service.map(({ name }) => name) : [];
    expect(names.sort()).toEqual(services.map(({ typeName }) => typeName).sort());
    expect(names).toContain(`${agents}.AgentCommandController`);
  });

  it("gives the file of each service with all that it imports", async () => {
    const answers = await ask(
      ...services.map(({ typeName }) => ({ case: "fileContainingSymbol" as const, value: typeName })),
    );
    for (const [index, service] of services.entries()) {
      const described = registryOf(answers[index]?.messageResponse ?? { case: undefined }).getService(service.typeName);
      expect(described?.methods.map(({ name, input }) => [name, input.typeName])).toEqual(
        service.methods.map(({ name, input }) => [name, input.typeName]),
      );
    }
  });

  it.each([
    ["a message", `${agents}.Agent`, `${agents}.Agent`],
    ["a field", `${agents}.Agent.spec`, `${agents}.Agent`],
    ["a method", `${agents}.AgentCommandController.apply`, `${agents}.Agent`],
    [
      "an enum",
      "ai.stigmer.agentic.agentexecution.v1.ExecutionPhase",
      "ai.stigmer.agentic.agentexecution.v1.ExecutionPhase",
    ],
    [
      "a value of an enum",
      "ai.stigmer.agentic.agentexecution.v1.EXECUTION_PENDING",
      "ai.stigmer.agentic.agentexecution.v1.ExecutionPhase",
    ],
    [
      "a value of an enum in a message",
      "grpc.health.v1.HealthCheckResponse.SERVING",
      "grpc.health.v1.HealthCheckResponse",
    ],
    ["what is imported", "google.protobuf.Timestamp", "google.protobuf.Timestamp"],
  ])("finds the file of %s", async (_what, symbol, typeName) => {
    const registry = registryOf(await askOne({ case: "fileContainingSymbol", value: symbol }));
    expect(registry.get(typeName)?.typeName).toBe(typeName);
  });

  it("gives a file by its name", async () => {
    const name = "ai/stigmer/agentic/agent/v1/command.proto";
    const registry = registryOf(await askOne({ case: "fileByFilename", value: name }));
    expect(registry.getFile(name)?.services.map(({ typeName }) => typeName)).toEqual([
      `${agents}.AgentCommandController`,
    ]);
  });

  it.each<[string, Question, Code]>([
    ["an unknown symbol", { case: "fileContainingSymbol", value: `${agents}.Nothing` }, Code.NotFound],
    [
      "an unknown method",
      { case: "fileContainingSymbol", value: `${agents}.AgentCommandController.no` },
      Code.NotFound,
    ],
    ["an unknown file", { case: "fileByFilename", value: "no.proto" }, Code.NotFound],
    [
      "an extension",
      { case: "fileContainingExtension", value: { containingType: `${agents}.Agent`, extensionNumber: 1 } },
      Code.NotFound,
    ],
    ["extension numbers", { case: "allExtensionNumbersOfType", value: `${agents}.Agent` }, Code.NotFound],
    ["nothing", { case: undefined }, Code.InvalidArgument],
  ])("answers a question for %s with an error, and goes on", async (_what, question, errorCode) => {
    const [refused, next] = await ask(question, { case: "listServices", value: "" });
    expect(refused).toMatchObject({
      validHost: "here",
      originalRequest: { messageRequest: question },
      messageResponse: { case: "errorResponse", value: { errorCode } },
    });
    expect(next?.messageResponse.case).toBe("listServicesResponse");
  });
});
