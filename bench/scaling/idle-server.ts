// A server in this process, to see what its heap holds. Prints its address; answers each line of input with the bytes that are left
// after a collection.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { startServer } from "@stigmer/server";

const { gc } = globalThis;
if (!gc) throw new Error("It takes node --expose-gc.");
const home = await mkdtemp(join(tmpdir(), "stigmer-bench-idle-"));
const store = { type: "postgres", url: process.env["STIGMER_DATABASE_URL"] ?? "" } as const;
const server = await startServer({ home, port: 0, store, encryptionKey: randomBytes(32) });
console.log(`${server.endpoint} ${server.apiKey}`);
for await (const _ of createInterface({ input: process.stdin })) {
  await gc({ execution: "async" });
  await gc({ execution: "async" });
  const { heapUsed, external } = process.memoryUsage();
  console.log(heapUsed + external);
}
await server.close();
await rm(home, { recursive: true });
