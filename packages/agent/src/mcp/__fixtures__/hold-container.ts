// A process of its own that has a server in a container, and waits to be killed. Arguments: directory, what to open.
import type { McpDockerServerConfig } from "../mcp-config.ts";
import { testConnections } from "./servers.ts";

const [directory = "", given = ""] = process.argv.slice(2);
const { deaf, dockerEnv } = JSON.parse(given) as { deaf: McpDockerServerConfig; dockerEnv: Record<string, string> };
await testConnections({ dockerEnv, connectTimeoutMs: 60_000 }).open({ sessionId: "s", directory, servers: [deaf] });
process.stdout.write("open\n");
setInterval(() => {}, 60_000);
