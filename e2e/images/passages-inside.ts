// The other half of passages.ts, in the engine's network: what comes to a port there goes to a socket file, and the other way
// round. Socket files know no networks.
import { openPort, openSocket, type Inside } from "./join.ts";

const { inward, outward } = JSON.parse(process.argv[2] ?? "") as Inside;
for (const { port, socket } of inward) await openPort(port, { path: socket });
for (const { port, socket } of outward) await openSocket(socket, { host: "127.0.0.1", port });
console.log("open");
