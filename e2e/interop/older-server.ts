// A server as it was before us: methods, fields and headers of ours do not exist for it. A server of ours stands behind it.
import { once } from "node:events";
import {
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { envelope, readEnvelopes } from "./clients/envelopes.ts";
import { olderContract } from "./contract.ts";
import type { Method } from "./wire-methods.ts";

export interface OlderServer extends AsyncDisposable {
  readonly endpoint: string;
  /** The methods that were called, each once. */
  readonly served: ReadonlySet<string>;
  /** The methods that it did not know. */
  readonly refused: ReadonlySet<string>;
}

const UNIMPLEMENTED = { ":status": 200, "content-type": "application/grpc", "grpc-status": "12" };

export async function startOlderServer(behind: { endpoint: string }): Promise<OlderServer> {
  const [served, refused] = [new Set<string>(), new Set<string>()];
  const upstream = connect(`http://${behind.endpoint}`);
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    const name = (headers[":path"] ?? "").slice(1);
    const method = olderContract.get(name);
    (method ? served : refused).add(name);
    // Whoever called is gone, or this server is being closed: both end the stream on their own.
    stream.on("error", () => {});
    if (method) void relay(stream, headers, method).catch(() => stream.close());
    else stream.respond({ ...UNIMPLEMENTED, "grpc-message": `unknown method ${name}` }, { endStream: true });
  });

  async function relay(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: Method): Promise<void> {
    const { authorization, "grpc-timeout": timeout, "content-type": type } = headers;
    const call = upstream.request({
      ":method": "POST",
      ":path": method.path,
      "content-type": type,
      te: "trailers",
      authorization,
      ...(timeout !== undefined && { "grpc-timeout": timeout }),
    });
    let trailers: IncomingHttpHeaders = {};
    call.once("trailers", (fields) => (trailers = fields));
    stream.once("close", () => call.close());
    for await (const { data } of readEnvelopes(stream)) call.write(envelope(method.knownRequest(data)));
    call.end();
    const [answer] = (await once(call, "response")) as [IncomingHttpHeaders];
    stream.respond(plain(answer), { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers(plain(trailers)));
    for await (const { data } of readEnvelopes(call)) stream.write(envelope(method.knownAnswer(data)));
    stream.end();
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    served,
    refused,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) session.destroy();
      upstream.destroy();
      await closed;
    },
  };
}

/** Without what Node puts there for itself. */
function plain(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers));
}
