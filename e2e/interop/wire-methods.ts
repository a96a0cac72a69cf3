// Methods as a library that is not ours makes them: protobufjs, from nothing but names and numbers, in the lines of
// packages/protos/src/__fixtures__/wire-contract.txt.
import protobuf from "protobufjs";

export interface Method {
  readonly path: string;
  /** From proto JSON: camelCase names, enums by name, bytes in base64. What is not known is left out. */
  encode(request: object): Buffer;
  /** To the same; what is not set is left out, and so is what is not known. */
  decode(bytes: Uint8Array): object;
  /** A request as it reads to who knows no more than this contract. */
  knownRequest(bytes: Uint8Array): Buffer;
  knownAnswer(bytes: Uint8Array): Buffer;
}

/** By `package.Service/method`. */
export type Methods = ReadonlyMap<string, Method>;

/** Throws for a name that the contract does not have. */
export function methodOf(methods: Methods, name: string): Method {
  const method = methods.get(name);
  if (!method) throw new Error(`The contract has no ${name}.`);
  return method;
}

/** A part of protobufjs' own JSON. A namespace has `nested` alone. */
interface Node {
  nested?: Record<string, Node>;
  fields?: Record<string, { id: number; type: string; rule?: "repeated"; keyType?: string }>;
  oneofs?: Record<string, { oneof: string[] }>;
  values?: Record<string, number>;
}

const LINE =
  /^(?:(?<sort>message|enum) (?<type>[\w.]+) in .*|field (?<owner>[\w.]+)\/(?<field>\w+) = (?<id>\d+): (?:(?<repeated>repeated )|map<(?<keyType>\w+), )?(?<element>[\w.]+)>?(?: of oneof (?<oneof>\w+))?|value (?<enum>[\w.]+)\/(?<value>\w+) = (?<number>\d+)|method (?<method>[\w.]+\/\w+)\((?<input>[\w.]+)\) returns \((?:stream )?(?<output>[\w.]+)\))$/;

/** Throws for a line that says nothing of a contract. */
export function methodsOf(lines: readonly string[]): Methods {
  const tree: Node = {};
  const nodeOf = (name: string): Node =>
    name.split(".").reduce((node, part) => ((node.nested ??= {})[part] ??= {}), tree);
  const found: { name: string; input: string; output: string }[] = [];
  for (const line of lines) {
    if (line === "" || line.startsWith("#") || line.startsWith("service ")) continue;
    const parts = LINE.exec(line)?.groups;
    if (!parts) throw new Error(`This is no line of a contract: ${line}`);
    const { sort, type = "", owner, field = "", id, repeated, keyType, element = "", oneof } = parts;
    if (sort === "message") nodeOf(type).fields = {};
    else if (sort === "enum") nodeOf(type).values = {};
    else if (owner !== undefined) {
      const name = field.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
      const node = nodeOf(owner);
      const rule = repeated === undefined ? {} : { rule: "repeated" as const };
      (node.fields ??= {})[name] = {
        id: Number(id),
        type: element,
        ...rule,
        ...(keyType !== undefined && { keyType }),
      };
      if (oneof !== undefined) ((node.oneofs ??= {})[oneof] ??= { oneof: [] }).oneof.push(name);
    } else if (parts["enum"] !== undefined) {
      (nodeOf(parts["enum"]).values ??= {})[parts["value"] ?? ""] = Number(parts["number"]);
    } else found.push({ name: parts["method"] ?? "", input: parts["input"] ?? "", output: parts["output"] ?? "" });
  }
  for (const name of ["struct", "timestamp", "empty"]) {
    const types = protobuf.common.get(`google/protobuf/${name}.proto`)?.nested?.["google"] as {
      nested: Node["nested"];
    };
    Object.assign((nodeOf("google.protobuf").nested ??= {}), types.nested?.["protobuf"]?.nested);
  }
  const root = protobuf.Root.fromJSON(tree as protobuf.INamespace);
  root.resolveAll();
  return new Map(
    found.map(({ name, input, output }) => {
      const [requests, answers] = [root.lookupType(input), root.lookupType(output)];
      const method: Method = {
        path: `/${name}`,
        encode: (request) => Buffer.from(requests.encode(requests.fromObject(request)).finish()),
        knownRequest: (bytes) => Buffer.from(requests.encode(requests.decode(bytes)).finish()),
        knownAnswer: (bytes) => Buffer.from(answers.encode(answers.decode(bytes)).finish()),
        decode: (bytes) => answers.toObject(answers.decode(bytes), { enums: String, bytes: String, longs: String }),
      };
      return [name, method];
    }),
  );
}
