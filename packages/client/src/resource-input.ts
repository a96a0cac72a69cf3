import {
  clone,
  create,
  type DescMessage,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { kinds, type ResourceKind } from "@stigmer/protos";
import { type ApiResourceMetadata, ApiResourceMetadataSchema } from "@stigmer/protos/apiresource";

/** A resource as every kind has it. */
export type ResourceMessage = Message & {
  apiVersion: string;
  kind: string;
  metadata?: ApiResourceMetadata;
};

type MetadataInput = Partial<Omit<MessageInitShape<typeof ApiResourceMetadataSchema>, "$typeName">>;
type InitOf<D extends DescMessage> = Exclude<MessageInitShape<D>, Message>;
type SpecOf<D extends DescMessage> = NonNullable<InitOf<D> extends { spec?: infer S } ? Exclude<S, Message> : never>;
type SpecInput<D extends DescMessage> = Omit<SpecOf<D>, keyof MetadataInput | "metadata" | "spec" | "$typeName">;

/**
 * What a kind's methods take, in any of three forms. `apiVersion` and `kind` are filled in where they are left out.
 *
 * - in short, name and labels beside what is asked for: `{ name: "Greeter", instructions: "…" }`
 * - as a manifest has it: `{ metadata: { name: "Greeter" }, spec: { instructions: "…" } }`. Needed for the few fields of a
 *   spec that metadata has too (`tags` of MCP servers, `metadata` of sessions).
 * - as a server answered it, changed or not
 */
export type ResourceInput<D extends DescMessage> =
  | (MetadataInput & SpecInput<D> & { readonly metadata?: never; readonly spec?: never })
  | MessageInitShape<D>;

const metadataFields: ReadonlySet<string> = new Set(ApiResourceMetadataSchema.fields.map(({ localName }) => localName));

/** The message that an input means. A message that was given is not changed. */
export function toResource<D extends DescMessage>(
  { kind, schema }: { readonly kind: ResourceKind; readonly schema: D },
  input: ResourceInput<D>,
): MessageShape<D> & ResourceMessage {
  const whole = "$typeName" in input || "metadata" in input || "spec" in input;
  const init = whole ? input : fromShort(input);
  // A message that is given comes back as it is, with fields that only a newer server knows.
  const given = create(schema, init as MessageInitShape<D>) as MessageShape<D> & ResourceMessage;
  // What is given is sent, right or wrong, for the server to judge; what is empty was never set.
  if (given.apiVersion !== "" && given.kind !== "") return given;
  const message = given === (input as object) ? (clone(schema, given) as typeof given) : given;
  message.apiVersion ||= kinds[kind].apiVersion;
  message.kind ||= kind;
  return message;
}

function fromShort(input: object): { metadata: object; spec: object } {
  const metadata: Record<string, unknown> = {};
  const spec: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(input)) (metadataFields.has(name) ? metadata : spec)[name] = value;
  return { metadata, spec };
}
