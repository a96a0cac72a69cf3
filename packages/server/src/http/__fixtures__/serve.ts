import type { ConnectRouter, HandlerContext, Interceptor, Transport } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { listen } from "../listen.ts";

export interface Served {
  readonly baseUrl: string;
  /** gRPC over HTTP/2. */
  readonly transport: Transport;
  close(): Promise<void>;
}

/** Routes behind interceptors on a port of their own, called over the network. */
export async function serve(options: {
  readonly routes: (router: ConnectRouter) => void;
  readonly requestGate?: (context: HandlerContext) => Promise<void>;
  readonly interceptors?: Interceptor[];
}): Promise<Served> {
  const listener = await listen({ host: "127.0.0.1", port: 0, handler: connectNodeAdapter(options) });
  const baseUrl = `http://127.0.0.1:${listener.port}`;
  return { baseUrl, transport: createGrpcTransport({ baseUrl }), close: () => listener.close({ graceMs: 0 }) };
}
