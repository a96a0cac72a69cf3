import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DescEnum, DescField, DescMessage, DescMethod, DescOneof, DescService } from "@bufbuild/protobuf";
import protobuf from "protobufjs";

const protoDir = join(import.meta.dirname, "../../../proto");

/** What the protos say about themselves in comments, which the generated descriptors leave out. */
export interface ProtoComments {
  of(type: DescMessage | DescService | DescEnum | DescMethod | DescField | DescOneof): string;
  /** Of each value, by its name. */
  ofValues(type: DescEnum): Readonly<Record<string, string>>;
}

export function createProtoComments(): ProtoComments {
  const roots = new Map<string, protobuf.Root>();
  const rootOf = (file: string): protobuf.Root => {
    const known = roots.get(file);
    if (known !== undefined) return known;
    const root = new protobuf.Root();
    const text = readFileSync(join(protoDir, `${file}.proto`), "utf8");
    protobuf.parse(text, root, { keepCase: true, alternateCommentMode: true });
    roots.set(file, root);
    return root;
  };
  return {
    of: (type) => {
      switch (type.kind) {
        case "message":
          return oneLine(rootOf(type.file.name).lookupType(type.typeName).comment);
        case "service":
          return oneLine(rootOf(type.file.name).lookupService(type.typeName).comment);
        case "enum":
          return oneLine(rootOf(type.file.name).lookupEnum(type.typeName).comment);
        case "rpc":
          return oneLine(rootOf(type.parent.file.name).lookupService(type.parent.typeName).methods[type.name]?.comment);
        case "field":
          return oneLine(rootOf(type.parent.file.name).lookupType(type.parent.typeName).fields[type.name]?.comment);
        case "oneof":
          return oneLine(rootOf(type.parent.file.name).lookupType(type.parent.typeName).oneofs[type.name]?.comment);
      }
    },
    ofValues: ({ file, typeName }) => {
      const { comments } = rootOf(file.name).lookupEnum(typeName);
      return Object.fromEntries(Object.entries(comments).map(([name, comment]) => [name, oneLine(comment)]));
    },
  };
}

function oneLine(comment: string | null | undefined): string {
  return (comment ?? "").replace(/\s+/g, " ").trim();
}
