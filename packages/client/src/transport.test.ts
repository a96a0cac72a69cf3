import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { createClient } from "./create-client.ts";
import { isOnThisMachine } from "./on-this-machine.ts";

it("asks a server on its own machine not to pack its answers", async () => {
  const asked: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    response.stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "5" },
      { endStream: true },
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = createClient({ endpoint: `localhost:${String(port)}`, apiKey: "key" });
  await expect(client.agents.get("agt-01m7yp6m06v3nf22f78h88f1ad")).rejects.toMatchObject({ code: "not-found" });
  client[Symbol.dispose]();
  server.close();
  expect(asked).toHaveLength(1);
  expect(asked[0]?.["grpc-accept-encoding"] ?? "identity").toBe("identity");
});

it.each([
  ["http://localhost:50051", true],
  ["http://127.0.0.1:50051", true],
  ["https://[::1]:443", true],
  ["https://api.example.com", false],
  ["http://127.0.0.1.example.com", false],
  ["http://10.0.0.7:50051", false],
  ["not a url", false],
])("knows whether %s is on this machine", (url, expected) => {
  expect(isOnThisMachine(url)).toBe(expected);
});
