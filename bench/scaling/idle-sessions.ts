// What sessions that nobody uses hold of a server's memory: what is left in its heap after a collection, before and after many are made.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { Figure } from "../report.ts";
import { createDatabases } from "./databases.ts";

const WARM_UP = 1_000;
const SESSIONS = 10_000;
const AT_ONCE = 20;
const SERVER = fileURLToPath(new URL("idle-server.ts", import.meta.url));

export async function idleSessions(): Promise<readonly Figure[]> {
  await using databases = await createDatabases();
  const env = { PATH: process.env["PATH"], STIGMER_DATABASE_URL: databases.store.url };
  const child = spawn(process.execPath, ["--expose-gc", "--conditions=@stigmer/source", SERVER], {
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const [endpoint = "", apiKey = ""] = String((await lines.next()).value).split(" ");
    const held = async (): Promise<number> => {
      child.stdin.write("\n");
      return Number((await lines.next()).value) / 2 ** 20;
    };
    using client = createClient({ endpoint, apiKey });
    const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } };
    const spec = { instructions: "Do what the person asks." };
    const agent = await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
    const agentInstanceId = agent.status?.defaultInstanceId ?? "";
    // What is made once, however many there are, is not the sessions'.
    await makeSessions(client, { name: "before", count: WARM_UP, agentInstanceId });
    const before = await held();
    await makeSessions(client, { name: "idle", count: SESSIONS, agentInstanceId });
    return [
      {
        name: `what a server holds after a collection, with ${WARM_UP + SESSIONS} idle sessions`,
        unit: "MiB",
        samples: [await held()],
        baseline: { name: `with ${WARM_UP}`, samples: [before] },
      },
    ];
  } finally {
    child.stdin.end();
    await exited;
  }
}

async function makeSessions(
  client: StigmerClient,
  { name, count, agentInstanceId }: { readonly name: string; readonly count: number; readonly agentInstanceId: string },
): Promise<void> {
  let left = count;
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      const metadata = { name: `${name} ${left}` };
      const apiVersion = "agentic.stigmer.ai/v1";
      await client.sessions.create(
        create(SessionSchema, { apiVersion, kind: "Session", metadata, spec: { agentInstanceId } }),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
