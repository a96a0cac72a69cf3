import {
  create,
  createRegistry,
  fromBinary,
  fromJson,
  isMessage,
  toJsonString,
  type DescMessage,
  type JsonValue,
} from "@bufbuild/protobuf";
import { AgentExecutionSchema, AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema, InboxItemSchema } from "@stigmer/protos/runner/v1";
import {
  ApplicationFailure,
  BinaryPayloadConverter,
  CompositePayloadConverter,
  encodingTypes,
  JsonPayloadConverter,
  METADATA_ENCODING_KEY,
  METADATA_MESSAGE_TYPE_KEY,
  UndefinedPayloadConverter,
  type Payload,
  type PayloadConverter,
  type PayloadConverterWithEncoding,
} from "@temporalio/common";
import { FAILURE_TYPES } from "./failures.ts";

// Loaded by path, by Temporal's client and worker and into the isolate that workflows run in: nothing of Node here.

/** The messages that travel between workflow, its starter and runners. */
const registry = createRegistry(
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  CleanupSandboxTaskSchema,
  InboxItemSchema,
);

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/** Messages as Temporal's SDKs of all languages write them by default: proto JSON, and the message's full name beside it. */
const jsonProtobuf: PayloadConverterWithEncoding = {
  encodingType: encodingTypes.METADATA_ENCODING_PROTOBUF_JSON,
  toPayload: (value: unknown) => {
    if (!isMessage(value)) return undefined;
    const schema = registry.getMessage(value.$typeName);
    if (!schema) throw unreadable(`A message ${value.$typeName} can't be sent: ${known()}`);
    return {
      metadata: {
        [METADATA_ENCODING_KEY]: utf8.encoder.encode(encodingTypes.METADATA_ENCODING_PROTOBUF_JSON),
        [METADATA_MESSAGE_TYPE_KEY]: utf8.encoder.encode(schema.typeName),
      },
      data: utf8.encoder.encode(toJsonString(schema, value)),
    };
  },
  fromPayload: <T>(payload: Payload): T => {
    const schema = schemaOf(payload);
    const text = utf8.decoder.decode(payload.data ?? new Uint8Array());
    return read(schema, () => readJson(schema, JSON.parse(text) as JsonValue)) as T;
  },
};

/** Messages in their binary form. Read, since a sender may prefer it; what we send is JSON, which people can read in a history. */
const binaryProtobuf: PayloadConverterWithEncoding = {
  encodingType: encodingTypes.METADATA_ENCODING_PROTOBUF,
  toPayload: () => undefined,
  fromPayload: <T>(payload: Payload): T => {
    const schema = schemaOf(payload);
    return read(schema, () => fromBinary(schema, payload.data ?? new Uint8Array())) as T;
  },
};

/**
 * Carries messages of ours as `json/protobuf`, and all else as Temporal's default converter does. An argument that can't be read is
 * an {@link ApplicationFailure}, which fails a workflow at once; another error would make it try for ever.
 */
export const payloadConverter: PayloadConverter = new CompositePayloadConverter(
  new UndefinedPayloadConverter(),
  new BinaryPayloadConverter(),
  jsonProtobuf,
  binaryProtobuf,
  new JsonPayloadConverter(),
);

/**
 * A message that came as an argument: as such, or as plain JSON of the same form (from a command line, say). Nothing at all is
 * the empty message. Throws an {@link ApplicationFailure} when it is neither.
 */
export function messageOf<Desc extends DescMessage>(schema: Desc, value: unknown): ReturnType<typeof create<Desc>> {
  if (value === undefined) return create(schema);
  if (isMessage(value, schema)) return value as ReturnType<typeof create<Desc>>;
  if (isMessage(value)) throw unreadable(`Expected a ${schema.typeName}, got a ${value.$typeName}.`);
  return read(schema, () => readJson(schema, value as JsonValue)) as ReturnType<typeof create<Desc>>;
}

function readJson(schema: DescMessage, json: JsonValue): unknown {
  return fromJson(schema, json, { ignoreUnknownFields: true });
}

function schemaOf({ metadata }: Payload): DescMessage {
  const encoding = utf8.decoder.decode(metadata?.[METADATA_ENCODING_KEY] ?? new Uint8Array());
  const name = metadata?.[METADATA_MESSAGE_TYPE_KEY];
  if (!name) {
    throw unreadable(
      `A ${encoding} payload says of no message that it is it: the sender's converter must set the metadata messageType.`,
    );
  }
  const typeName = utf8.decoder.decode(name);
  const schema = registry.getMessage(typeName);
  if (!schema) throw unreadable(`A ${encoding} payload holds a message ${typeName}: ${known()}`);
  return schema;
}

function read<T>(schema: DescMessage, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw unreadable(
      `A ${schema.typeName} could not be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function known(): string {
  const names = [...registry].flatMap((type) => (type.kind === "message" ? [type.typeName] : []));
  return `known are ${names.join(", ")}. Upgrade the older side, or send one of these.`;
}

function unreadable(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, FAILURE_TYPES.unreadable);
}
