import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import protobuf from "protobufjs";

const protoDir = join(import.meta.dirname, "../../../proto");

/** What the protos say about themselves in comments, which the generated descriptors leave out. */
export interface Comments {
  ofMessage(message: DescMessage): string;
  ofField(field: DescField): string;
  /** Of each value, in the order of the enum. */
  ofValues(type: DescEnum): readonly string[];
}

export function createComments(): Comments {
  const files = new Map<string, protobuf.Root>();
  const rootOf = (name: string): protobuf.Root => {
    const known = files.get(name);
    if (known !== undefined) return known;
    const root = new protobuf.Root();
    const text = readFileSync(join(protoDir, `${name}.proto`), "utf8");
    protobuf.parse(text, root, { keepCase: true, alternateCommentMode: true });
    files.set(name, root);
    return root;
  };
  return {
    ofMessage: ({ file, typeName }) => oneLine(rootOf(file.name).lookupType(typeName).comment),
    ofField: ({ parent, name }) => oneLine(rootOf(parent.file.name).lookupType(parent.typeName).fields[name]?.comment),
    ofValues: ({ file, typeName, values }) => {
      const { comments } = rootOf(file.name).lookupEnum(typeName);
      return values.map(({ name }) => oneLine(comments[name]));
    },
  };
}

function oneLine(comment: string | null | undefined): string {
  return (comment ?? "").replace(/\s+/g, " ").trim();
}
