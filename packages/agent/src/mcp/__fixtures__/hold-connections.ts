// A process of its own that connects, leaves what it has open, and waits to be killed. Arguments: directory, how many.
import { shellServer, testConnections } from "./servers.ts";

const [directory = "", count = "1"] = process.argv.slice(2);
const connections = testConnections({ connectTimeoutMs: 120_000 });
const open = async (at: number): Promise<void> => {
  // Every third does not care about the end of its input, nor about signals.
  const server = shellServer(`s${at}`, { args: at % 3 === 0 ? ["deaf"] : [] });
  await connections.open({ sessionId: `s${at}`, directory, servers: [server] });
};
for (let at = 0; at < Number(count); at += 10) {
  await Promise.all(Array.from({ length: 10 }, (_, offset) => open(at + offset)));
}
process.stdout.write("open\n");
setInterval(() => {}, 60_000);
