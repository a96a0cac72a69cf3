import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** A request handler that serves HTTP/1.1 and HTTP/2 alike. */
export type NodeHandlerFn = (request: NodeRequest, response: NodeResponse) => void;
