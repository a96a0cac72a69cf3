// gRPC frame by frame, for what client libraries would not send, or would not show.
import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { envelope, type Envelope, readEnvelopes } from "./clients/envelopes.ts";

export interface RawAnswer {
  readonly headers: IncomingHttpHeaders & { readonly ":status"?: number };
  readonly trailers: IncomingHttpHeaders;
  readonly messages: readonly Envelope[];
}

export interface RawGrpc extends Disposable {
  readonly session: ClientHttp2Session;
  /** Sends these bytes as the body. */
  send(method: string, body: Uint8Array, headers?: Record<string, string>): Promise<RawAnswer>;
}

export function openRawGrpc({ endpoint, apiKey }: { endpoint: string; apiKey: string }): RawGrpc {
  const session = connect(`http://${endpoint}`);
  return {
    session,
    send: async (method, body, headers = {}) => {
      const stream = session.request({
        ":method": "POST",
        ":path": `/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${apiKey}`,
        ...headers,
      });
      const trailers: IncomingHttpHeaders = {};
      // An answer without a body has its trailers in its headers.
      stream.once("trailers", (fields) => Object.assign(trailers, fields));
      stream.end(body);
      const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
      const messages = await Array.fromAsync(readEnvelopes(stream));
      return { headers: answer, trailers, messages };
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** A message, with the flag that says whether it is compressed. */
export function framed(data: Uint8Array, compressed = false): Buffer {
  const frame = envelope(data);
  frame.writeUInt8(compressed ? 1 : 0, 0);
  return frame;
}
