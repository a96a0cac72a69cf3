// gRPC over HTTP/2 by @grpc/grpc-js and protobufjs, which is what most Node programs use.
import { type ChannelOptions, Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Answer, CallFailure, type Caller } from "../caller.ts";
import { contract } from "../contract.ts";
import { methodOf, type Methods } from "../wire-methods.ts";

export interface GrpcJsOptions {
  readonly endpoint: string;
  readonly apiKey: string;
  /** What the client knows of the contract. Default: all of it. */
  readonly methods?: Methods;
  readonly channel?: ChannelOptions;
}

export function openGrpcJs(options: GrpcJsOptions): Caller {
  const { methods = contract } = options;
  const client = new Client(options.endpoint, credentials.createInsecure(), options.channel);
  const metadata = keyOf(options.apiKey);
  return {
    call: (name, request) => {
      const { path, encode, decode } = methodOf(methods, name);
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, encode, decode, request, metadata, (error, answer) => {
          if (error) reject(failureOf(error));
          else resolve((answer ?? {}) as Answer);
        });
      });
    },
    async *stream(name, request) {
      const { path, encode, decode } = methodOf(methods, name);
      const call = client.makeServerStreamRequest(path, encode, decode, request, metadata);
      try {
        for await (const answer of call) yield answer as Answer;
      } catch (error) {
        throw failureOf(error as ServiceError);
      } finally {
        call.cancel();
      }
    },
    duplex: true,
    close: () => client.close(),
  };
}

export function keyOf(apiKey: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${apiKey}`);
  return metadata;
}

function failureOf({ code, details }: ServiceError): CallFailure {
  return new CallFailure(status[code] ?? String(code), details);
}
