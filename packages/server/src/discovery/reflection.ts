import { toBinary, type DescFile, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
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
        return fileAnswer(fileOfSymbol(files.values(), question.value), question.value);
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

function fileOfSymbol(files: Iterable<DescFile>, symbol: string): DescFile | undefined {
  for (const file of files) {
    if (declares(file, symbol)) return file;
  }
  return undefined;
}

function declares(file: DescFile, symbol: string): boolean {
  const types = [...file.messages, ...file.enums, ...file.services];
  // A method, field or nested type is found by the type that holds it.
  return types.some(({ typeName }) => symbol === typeName || symbol.startsWith(`${typeName}.`));
}
