import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError } from "../../errors.ts";
import type { CommandIo } from "../../command-io.ts";
import { firstProgram, onPath } from "../../daemon/temporal-program.ts";
import type { ManagedCommand } from "./managed-process.ts";

/** Temporal's command line: the one that is named, else the one on PATH. Throws a `CliError` when there is none. */
export async function findTemporal(
  named: string | undefined,
  { cwd, env }: Pick<CommandIo, "cwd" | "env">,
): Promise<string> {
  const found = await firstProgram(named ? [resolve(cwd, named)] : onPath("temporal", env));
  if (found !== undefined) return found;
  const where = named ? `${named} is no program` : "`temporal` is not on PATH";
  throw new CliError(
    "failed",
    `${where}: install Temporal's command line (https://docs.temporal.io/cli), or name it with --temporal`,
  );
}

/** Temporal's dev server, with its database in a file: killed and started again, it goes on where it was. */
export function devServerCommand(options: {
  readonly program: string;
  readonly port: number;
  readonly root: string;
  readonly env: CommandIo["env"];
}): ManagedCommand {
  const { program, port, root, env } = options;
  const database = join(root, "temporal.db");
  return {
    command: program,
    args: ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", String(port), "--db-filename", database],
    // Its own settings file, and what it caches, are not the user's.
    env: { PATH: env["PATH"], HOME: root, TMPDIR: env["TMPDIR"] },
    secrets: {},
    logFile: join(root, "temporal.log"),
  };
}

const SERVES_WITHIN_MS = 60_000;

/** Resolves when the server at this port knows its namespace. */
export async function untilServing(port: number, gone: Promise<string>): Promise<void> {
  const { Connection } = await import("@temporalio/client");
  let ended: string | undefined;
  void gone.then((reason) => (ended = reason));
  for (const deadline = Date.now() + SERVES_WITHIN_MS; ended === undefined; await sleep(50)) {
    try {
      const connection = await Connection.connect({ address: `127.0.0.1:${port}`, connectTimeout: 2_000 });
      try {
        await connection.workflowService.describeNamespace({ namespace: "default" });
        return;
      } finally {
        await connection.close();
      }
    } catch (error) {
      if (Date.now() > deadline) throw new Error("Temporal's dev server does not become ready", { cause: error });
    }
  }
  throw new Error(`Temporal's dev server ${ended}`);
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function findPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
