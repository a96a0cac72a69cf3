import { toBinary, type DescFile, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import {
  type ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "@stigmer/protos/grpc/reflection/v1";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** Answers grpcurl, buf curl and their like from the descriptors of the services that are served. */
export function createReflection(services: readonly DescService[]): ServiceImpl<typeof ServerReflection> {
  const files = collectFiles(services);
  // Made for the first who asks: few servers are ever asked.
  let filesBySymbol: Map<string, DescFile> | undefined;
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
      }
    },
  };

  function answer({ messageRequest: question }: ServerReflectionRequest): Answer {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return fileAnswer(files.get(question.value), question.value);
      case "fileContainingSymbol":
        filesBySymbol ??= indexSymbols(files.values());
        return fileAnswer(filesBySymbol.get(question.value), question.value);
      case "fileContainingExtension":
      case "allExtensionNumbersOfType":
        return notFound("this server's messages have no extensions");
      case undefined:
        return { case: "errorResponse", value: { errorCode: Code.InvalidArgument, errorMessage: "empty request" } };
    }
  }
}

function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (!file) return notFound(`nothing here is called ${asked}`);
  const closure = [...withImports(file)].map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: closure } };
}

function notFound(message: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: message } };
}

function collectFiles(services: readonly DescService[]): Map<string, DescFile> {
  const files = new Map<string, DescFile>();
  for (const service of services) {
    for (const file of withImports(service.file)) files.set(file.proto.name, file);
  }
  return files;
}

/** A file and everything it imports, itself first, each once. */
function withImports(file: DescFile, seen: Set<DescFile> = new Set()): Set<DescFile> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const dependency of file.dependencies) withImports(dependency, seen);
  return seen;
}

function indexSymbols(files: Iterable<DescFile>): Map<string, DescFile> {
  const index = new Map<string, DescFile>();
  for (const file of files) for (const symbol of symbolsOf(file)) index.set(symbol, file);
  return index;
}

/** The full names that a file declares, at any depth. */
function* symbolsOf(file: DescFile): Generator<string> {
  for (const type of nestedTypes(file)) {
    yield type.typeName;
    const within =
      type.kind === "message" ? [...type.fields, ...type.oneofs] : type.kind === "service" ? type.methods : [];
    for (const { name } of within) yield `${type.typeName}.${name}`;
    if (type.kind !== "enum") continue;
    // As in C++, the values of an enum stand beside it.
    const scope = type.parent?.typeName ?? file.proto.package;
    for (const { name } of type.values) yield `${scope}.${name}`;
  }
}
