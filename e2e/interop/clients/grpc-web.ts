// gRPC-Web as a browser speaks it: binary messages over HTTP/1.1 by fetch, trailers in the body.
import { type Answer, CallFailure, type Caller, CODES } from "../caller.ts";
import { contract } from "../contract.ts";
import { methodOf } from "../wire-methods.ts";
import { envelope, GRPC_WEB_TRAILERS, readEnvelopes } from "./envelopes.ts";

export function openGrpcWeb({ endpoint, apiKey }: { endpoint: string; apiKey: string }): Caller {
  async function* stream(name: string, request: object): AsyncGenerator<Answer, void, void> {
    const { path, encode, decode } = methodOf(contract, name);
    const leaving = new AbortController();
    try {
      const response = await fetch(`http://${endpoint}${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/grpc-web+proto",
          "x-grpc-web": "1",
          authorization: `Bearer ${apiKey}`,
        },
        body: envelope(encode(request)),
        signal: leaving.signal,
      });
      let trailers: Headers | undefined = response.headers.has("grpc-status") ? response.headers : undefined;
      for await (const { flags, data } of readEnvelopes(bodyOf(response))) {
        if (flags === GRPC_WEB_TRAILERS) trailers = readTrailers(data.toString());
        else yield decode(data) as Answer;
      }
      if (!trailers) throw new Error(`${name} ended without a status (HTTP ${response.status}).`);
      const status = Number(trailers.get("grpc-status"));
      if (status !== 0) {
        throw new CallFailure(CODES[status] ?? String(status), decodeURIComponent(trailers.get("grpc-message") ?? ""));
      }
    } finally {
      leaving.abort();
    }
  }
  return {
    call: async (name, request) => {
      const [answer, ...more] = await Array.fromAsync(stream(name, request));
      if (!answer || more.length > 0) throw new Error(`${name} answered ${more.length + (answer ? 1 : 0)} messages.`);
      return answer;
    },
    stream,
    duplex: false,
    close: () => {},
  };
}

async function* bodyOf({ body }: Response): AsyncGenerator<Uint8Array, void, void> {
  if (body) yield* body;
}

function readTrailers(text: string): Headers {
  const lines = text.split("\r\n").filter((line) => line !== "");
  return new Headers(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
}
