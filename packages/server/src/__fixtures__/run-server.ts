// A server in a process of its own. Prints its endpoint when it takes calls, or why it does not.
import { startServer } from "../start-server.ts";

try {
  const { endpoint } = await startServer({ home: process.argv[2] ?? "", port: 0 });
  console.log(endpoint);
} catch (error) {
  console.log((error as { code?: unknown }).code);
}
