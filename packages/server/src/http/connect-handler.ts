import {
  ConnectError,
  createContextValues,
  type ConnectRouter,
  createConnectRouter,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { Logger } from "../logger.ts";
import { noteClientAddress } from "./client-address.ts";
import type { NodeHandlerFn, NodeRequest, NodeResponse } from "./node-handler.ts";
import { plainGrpcMessage } from "./plain-grpc-message.ts";
import { leaveBodyUnread } from "./unread-body.ts";

export interface ConnectHandlerOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** Refuses a call by throwing, before anything of its body is read. Default: none. */
  readonly requestGate?: (context: HandlerContext) => Promise<void>;
  readonly interceptors: Interceptor[];
  /** Of one message, also once it is unpacked. */
  readonly readMaxBytes: number;
  readonly logger: Logger;
}

/**
 * Answers gRPC, gRPC-Web and Connect. What `connectNodeAdapter` does, but that a client who leaves amid its answer is a line of
 * the log rather than a stack on the process's stderr, and that error messages are written as gRPC has them.
 */
export function connectHandler({ routes, logger, ...options }: ConnectHandlerOptions): NodeHandlerFn {
  const router = createConnectRouter({ ...options, acceptCompression: [compressionGzip, compressionBrotli] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const handler = handlers.get((request.url ?? "").split("?", 1)[0] ?? "");
    if (!handler) {
      leaveBodyUnread(request, response);
      response.statusCode = 404;
      response.end();
      return;
    }
    answer(handler, request, response).catch((error: unknown) => {
      // Handlers' own errors have been told to the caller: what is left is a connection that broke.
      logger.debug(
        { method: handler.method.name, err: ConnectError.from(error) },
        "an answer did not reach its caller",
      );
      response.destroy();
    });
  };
}

async function answer(handler: UniversalHandler, request: NodeRequest, response: NodeResponse): Promise<void> {
  const values = noteClientAddress(createContextValues(), request);
  const universal = await handler(universalRequestFromNodeRequest(request, response, undefined, values));
  if (universal.trailer) plainGrpcMessage(universal.trailer);
  leaveBodyUnread(request, response);
  await universalResponseToNodeResponse(universal, response);
}
