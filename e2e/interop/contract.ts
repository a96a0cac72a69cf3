import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createFileRegistry, type DescField, type DescFile, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { repository } from "../stigmer.ts";
import { type Methods, methodsOf } from "./wire-methods.ts";

/** The descriptors as a file, for programs that take one. */
export const contractFile: string = join(repository, "proto/contract.binpb");

/** Every method of ours. */
export const contract: Methods = methodsOf(linesOf(readContract()));

/** What clients knew before us. */
export const olderContract: Methods = methodsOf(
  readFileSync(join(repository, "packages/protos/src/__fixtures__/wire-contract.txt"), "utf8").split("\n"),
);

function readContract(): DescFile[] {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(contractFile)));
  return [...registry.files].filter((file) => file.name.startsWith("ai/stigmer/"));
}

function linesOf(files: readonly DescFile[]): string[] {
  return files.flatMap((file) =>
    [...nestedTypes(file)].flatMap((type) => {
      switch (type.kind) {
        case "message":
          return [
            `message ${type.typeName} in ${file.name}`,
            ...type.fields.map((field) => {
              const oneof = field.oneof ? ` of oneof ${field.oneof.name}` : "";
              return `field ${type.typeName}/${field.name} = ${field.number}: ${typeOf(field)}${oneof}`;
            }),
          ];
        case "enum":
          return [
            `enum ${type.typeName} in ${file.name}`,
            ...type.values.map(({ name, number }) => `value ${type.typeName}/${name} = ${number}`),
          ];
        case "service":
          return type.methods.map(({ name, methodKind, input, output }) => {
            const stream = methodKind === "server_streaming" ? "stream " : "";
            return `method ${type.typeName}/${name}(${input.typeName}) returns (${stream}${output.typeName})`;
          });
        case "extension":
          return [];
      }
    }),
  );
}

function typeOf(field: DescField): string {
  const element =
    field.message?.typeName ?? field.enum?.typeName ?? ScalarType[field.scalar as ScalarType].toLowerCase();
  if (field.fieldKind === "list") return `repeated ${element}`;
  return field.fieldKind === "map" ? `map<${ScalarType[field.mapKey].toLowerCase()}, ${element}>` : element;
}
