// Another author's converter: it knows none of our code, only the encoding `json/protobuf` that Temporal's SDKs share.
import {
  CompositePayloadConverter,
  JsonPayloadConverter,
  UndefinedPayloadConverter,
  type Payload,
  type PayloadConverter,
  type PayloadConverterWithEncoding,
} from "@temporalio/common";

/** A message as this author has it: its name, and proto JSON. */
export interface ForeignMessage {
  readonly messageType: string;
  readonly json: unknown;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const jsonProtobuf: PayloadConverterWithEncoding = {
  encodingType: "json/protobuf" as PayloadConverterWithEncoding["encodingType"],
  toPayload: (value: unknown) => {
    if (typeof value !== "object" || value === null || !("messageType" in value)) return undefined;
    const { messageType, json } = value as ForeignMessage;
    return {
      metadata: { encoding: encoder.encode("json/protobuf"), messageType: encoder.encode(messageType) },
      data: encoder.encode(JSON.stringify(json)),
    };
  },
  fromPayload: <T>({ metadata, data }: Payload): T => {
    const messageType = decoder.decode(metadata?.["messageType"] ?? undefined);
    return { messageType, json: JSON.parse(decoder.decode(data ?? undefined)) as unknown } satisfies ForeignMessage as T;
  },
};

export const payloadConverter: PayloadConverter = new CompositePayloadConverter(
  new UndefinedPayloadConverter(),
  jsonProtobuf,
  new JsonPayloadConverter(),
);
