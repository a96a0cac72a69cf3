// A server that answers runners as a test wants it: another version, another clock, another engine.
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { RunnerController } from "@stigmer/protos/runner/v1";

export interface FixtureServer extends AsyncDisposable {
  readonly endpoint: string;
  /** The names of the methods called, in order. */
  readonly calls: readonly string[];
}

export async function startFixtureServer(
  runner: Partial<ServiceImpl<typeof RunnerController>>,
): Promise<FixtureServer> {
  const calls: string[] = [];
  const server = createServer(
    connectNodeAdapter({
      routes: (router) => router.service(RunnerController, runner),
      interceptors: [
        (next) => (request) => {
          calls.push(request.method.name);
          return next(request);
        },
      ],
    }),
  );
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}
