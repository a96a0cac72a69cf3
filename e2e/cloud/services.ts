// What an installation stands on and does not bring along, each a process that can be killed.
import { execa } from "execa";
import { randomBytes } from "node:crypto";
import { chown, glob, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { createPart, type Part } from "./part.ts";

/** Debian's `nobody`: Postgres refuses to be root. */
const NOBODY = 65_534;

export async function createPostgres(folder: string): Promise<{
  part: Part;
  urlOf(database: string): string;
  createDatabases(...names: string[]): Promise<void>;
  /** Nobody may be connected to one. */
  emptyDatabases(...names: string[]): Promise<void>;
  /** Where its programs are. */
  programs: string;
}> {
  const found = await Array.fromAsync(glob("/usr/lib/postgresql/*/bin/initdb"));
  const programs = dirname(found.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? "");
  if (programs === ".") throw new Error("Postgres is not installed: pnpm test:system does it.");
  const home = join(folder, "postgres");
  await mkdir(home);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) await chown(home, NOBODY, NOBODY);
  const asOther = isRoot ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : ["env"];
  const password = randomBytes(16).toString("hex");
  const passwordFile = join(home, "password");
  await writeFile(passwordFile, `${password}\n`);
  const [first = "env", ...before] = asOther;
  const run = (...command: string[]): Promise<unknown> => execa(first, [...before, ...command], { cwd: home });
  const data = join(home, "data");
  const how = ["--username=stigmer", `--pwfile=${passwordFile}`, "--auth=scram-sha-256", "--encoding=UTF8"];
  await run(join(programs, "initdb"), `--pgdata=${data}`, ...how, "--locale=C.UTF-8", "--no-sync");
  await rm(passwordFile);
  const port = await findPort();
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
  // What a killed server has written stays without it; only a power cut could take it.
  const flags = [...settings, "fsync=off"].flatMap((setting) => ["-c", setting]);
  const urlOf = (database: string): string => `postgres://stigmer:${password}@127.0.0.1:${port}/${database}`;
  const tell = (statement: string): Promise<unknown> => run(join(programs, "psql"), urlOf("postgres"), "-c", statement);
  return {
    part: createPart({
      name: "postgres",
      command: [first, ...before, join(programs, "postgres"), "-D", data, ...flags],
      cwd: home,
      ready: /database system is ready to accept connections/,
      stopSignal: "SIGINT",
    }),
    urlOf,
    createDatabases: async (...names) => {
      for (const name of names) await tell(`CREATE DATABASE ${name}`);
    },
    emptyDatabases: async (...names) => {
      for (const name of names) {
        await tell(`DROP DATABASE ${name}`);
        await tell(`CREATE DATABASE ${name}`);
      }
    },
    programs,
  };
}

export async function createRedis(folder: string): Promise<{ part: Part; port: number; password: string }> {
  const port = await findPort();
  const password = randomBytes(16).toString("hex");
  const stdin = [`bind 127.0.0.1`, `port ${port}`, `requirepass ${password}`, 'save ""', ""].join("\n");
  const ready = /Ready to accept connections/;
  const part = createPart({ name: "redis", command: ["redis-server", "-"], cwd: folder, stdin, ready });
  return { part, port, password };
}

export async function createTemporal(folder: string): Promise<{ part: Part; address: string }> {
  const program = process.env["STIGMER_TEST_TEMPORAL"];
  if (!program) throw new Error("STIGMER_TEST_TEMPORAL is not set: it names the Temporal CLI that this test starts.");
  const port = await findPort();
  const where = ["--headless", "--ip", "127.0.0.1", "--port", String(port), "--log-level", "never"];
  const pragmas = ["journal_mode=WAL", "synchronous=OFF"].flatMap((pragma) => ["--sqlite-pragma", pragma]);
  const part = createPart({
    name: "temporal",
    command: [program, "server", "start-dev", ...where, ...pragmas, "--db-filename", join(folder, "temporal.db")],
    cwd: folder,
    env: { HOME: folder },
    ready: /^(Temporal )?Server:/m,
    // On a busy machine the dev server at times comes back without its namespaces, which are in its file, and never finds them.
    works: async () => {
      const ask = ["operator", "namespace", "describe", "--namespace", "default", "--address", `127.0.0.1:${port}`];
      const told = await execa(program, ask, {
        env: { HOME: folder },
        stdin: "ignore",
        reject: false,
        timeout: 10_000,
      });
      return !told.failed;
    },
  });
  return { part, address: `127.0.0.1:${port}` };
}

export async function findPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}
