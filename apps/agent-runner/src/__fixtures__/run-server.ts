// A server in a process of its own, so that a test can kill it. Its options are JSON in the first argument; it prints its endpoint.
import { startServer, type StartServerOptions } from "@stigmer/server";

const server = await startServer(JSON.parse(process.argv[2] ?? "{}") as StartServerOptions);
console.log(`ready ${server.endpoint} ${server.apiKey}`);
process.once("SIGTERM", () => void server.close().then(() => process.exit()));
