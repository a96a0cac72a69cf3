// `watch` by hand, on a connection of its own: to read not at all, or to count what comes over the wire.
import { once } from "node:events";
import { connect } from "node:http2";
import { fromBinary, create, toBinary } from "@bufbuild/protobuf";
import { WatchAgentExecutionEventSchema, WatchAgentExecutionRequestSchema } from "@stigmer/protos/agentexecution/v1";

export interface Access {
  readonly endpoint: string;
  readonly apiKey: string;
}

export interface RawWatch {
  /** Starts to read. Nothing is read before. */
  read(): void;
  /** Bytes of the connection so far, with all that HTTP/2 and gRPC put around the events. */
  readonly bytes: number;
  /** The revision of the last event that was read. */
  readonly revision: number;
  close(): void;
}

const PATH = "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController/watch";

/** Resolves when the server has begun to answer. */
export async function rawWatch({ endpoint, apiKey }: Access, executionId: string): Promise<RawWatch> {
  const session = connect(`http://${endpoint}`);
  const request = toBinary(WatchAgentExecutionRequestSchema, create(WatchAgentExecutionRequestSchema, { executionId }));
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(request.length, 1);
  const stream = session.request({
    ":method": "POST",
    ":path": PATH,
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${apiKey}`,
  });
  stream.end(Buffer.concat([envelope, request]));
  await once(stream, "response");
  let revision = 0;
  let rest = Buffer.alloc(0);
  const read = (chunk: Buffer): void => {
    rest = Buffer.concat([rest, chunk]);
    for (let length; rest.length >= 5 && rest.length >= (length = 5 + rest.readUInt32BE(1));) {
      revision = fromBinary(WatchAgentExecutionEventSchema, rest.subarray(5, length)).revision;
      rest = rest.subarray(length);
    }
  };
  return {
    read: () => void stream.on("data", read),
    get bytes() {
      return session.socket?.bytesRead ?? 0;
    },
    get revision() {
      return revision;
    },
    close: () => session.destroy(),
  };
}
