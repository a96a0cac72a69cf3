/** The flag of an envelope that holds no message but how the stream ended, in Connect and in gRPC-Web. */
export const CONNECT_END = 0x02;
export const GRPC_WEB_TRAILERS = 0x80;

export interface Envelope {
  readonly flags: number;
  readonly data: Buffer;
}

/** A message as gRPC-Web and Connect's streams frame it. */
export function envelope(data: Uint8Array): Buffer<ArrayBuffer> {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

/** Takes a body apart as it comes. */
export async function* readEnvelopes(body: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope, void, void> {
  let left = Buffer.alloc(0);
  for await (const chunk of body) {
    left = Buffer.concat([left, chunk]);
    while (left.length >= 5 && left.length >= 5 + left.readUInt32BE(1)) {
      const end = 5 + left.readUInt32BE(1);
      yield { flags: left.readUInt8(0), data: left.subarray(5, end) };
      left = left.subarray(end);
    }
  }
  if (left.length > 0) throw new Error(`The body ends amid a message: ${left.length} bytes are left.`);
}
