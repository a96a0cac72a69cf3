import type { OutgoingHttpHeaders } from "node:http";
import type { NodeHandlerFn } from "./node-handler.ts";

const MESSAGE = "grpc-message";

/**
 * Writes error messages as gRPC's specification has them: only what is not printable, and the percent sign, is encoded. The
 * library below encodes all that a URL would, and clients that decode no more than a URI (@grpc/grpc-js) show `name%3A`.
 */
export function plainGrpcMessages(handler: NodeHandlerFn): NodeHandlerFn {
  return (request, response) => {
    // gRPC over HTTP/2 alone: gRPC-Web has its messages in the body, and whoever reads those decodes all of it.
    if ("stream" in response) {
      const addTrailers = response.addTrailers.bind(response);
      response.addTrailers = (trailers: OutgoingHttpHeaders): void => {
        const message = trailers[MESSAGE];
        addTrailers(typeof message === "string" ? { ...trailers, [MESSAGE]: plain(message) } : trailers);
      };
    }
    handler(request, response);
  };
}

function plain(encoded: string): string {
  // Spaces at the ends of a header's value don't arrive.
  return decodeURIComponent(encoded).replaceAll(/[^ -$&-~]+|^ +| +$/gu, encodeURIComponent);
}
