// A disk that refuses, for those who may mount none: no file of the server may become larger than a few megabytes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { given } from "./services/__fixtures__/open-test-server.ts";
import { startServer } from "./start-server.ts";

const SERVER = fileURLToPath(new URL("./__fixtures__/run-server.ts", import.meta.url));
/** In blocks of 512 or 1024 bytes, as the shell counts. */
const LIMIT = `trap "" XFSZ; ulimit -f 8000; exec "$@"`;

async function connect(home: string, endpoint: string): Promise<Transport> {
  const key = (await readFile(join(home, "local.key"), "utf8")).trim();
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${endpoint}`, interceptors: [authorize] });
}

it(
  "says what it can't write, reads on, and has all that it acknowledged when it can",
  { timeout: 120_000 },
  async () => {
    const home = await mkdtemp(join(tmpdir(), "stigmer-limited-"));
    const child = spawn("sh", ["-c", LIMIT, "sh", process.execPath, "--conditions=@stigmer/source", SERVER, home], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    try {
      const [endpoint] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
      const transport = await connect(home, endpoint);
      const agent = await createClient(AgentCommandController, transport).create(given.agent("a"));
      const agentId = agent.metadata?.id ?? "";
      const commands = createClient(AgentExecutionCommandController, transport);
      const queries = createClient(AgentExecutionQueryController, transport);
      const acknowledged: string[] = [];
      let refusal: ConnectError | undefined;
      while (!refusal && acknowledged.length < 2_000) {
        const message = "x".repeat(30_000);
        await commands.create(given.execution({ agentId, message })).then(
          ({ metadata }) => acknowledged.push(metadata?.id ?? ""),
          (error: unknown) => (refusal = ConnectError.from(error)),
        );
      }
      expect(refusal).toMatchObject({
        code: Code.Unavailable,
        rawMessage: `${home}/data can't be read or written (disk I/O error): look after its disk, then try again`,
      });
      const { entries } = await queries.list({ pageSize: 20 });
      expect(entries).toHaveLength(20);
      expect(await queries.get({ value: acknowledged[0] })).toMatchObject({ metadata: { id: acknowledged[0] } });
      child.kill("SIGKILL");
      await exited;

      const server = await startServer({ home, port: 0 });
      const after = await connect(home, server.endpoint);
      await createClient(AgentExecutionCommandController, after).create(given.execution({ agentId }));
      await server.close();
      using database = new DatabaseSync(join(home, "data/stigmer.db"));
      expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
      const stored = database
        .prepare("SELECT id FROM executions")
        .all()
        .map(({ id }) => String(id));
      expect(stored).toEqual(expect.arrayContaining(acknowledged));
      expect(stored).toHaveLength(acknowledged.length + 1);
    } finally {
      child.kill("SIGKILL");
      await exited;
      await rm(home, { recursive: true });
    }
  },
);
