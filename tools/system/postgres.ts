import { execa } from "execa";
import { randomBytes } from "node:crypto";
import { chmod, glob, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GateError } from "../gate.ts";
import { installPackage } from "./debian.ts";
import type { Requirement } from "./requirement.ts";
import { dropRights, findPort, makeFolder, startService } from "./service.ts";

/** A Postgres cluster of our own, on loopback. */
export const postgres: Requirement = {
  variable: "STIGMER_TEST_POSTGRES_URL",
  async provide(signal) {
    const programs = await findPrograms();
    const folder = await makeFolder("postgres");
    try {
      const data = join(folder.path, "data");
      const password = randomBytes(16).toString("hex");
      await initialise({ programs, data, password, signal });
      const port = await findPort();
      const stop = await startService({
        name: "Postgres",
        command: [join(programs, "postgres"), "-D", data, ...settings(port)],
        folder: folder.path,
        ready: /database system is ready to accept connections/,
        stopSignal: "SIGINT",
        signal,
      });
      return {
        value: `postgres://stigmer:${password}@127.0.0.1:${port}/postgres`,
        release: async () => {
          await stop();
          await folder.remove();
        },
      };
    } catch (error) {
      await folder.remove();
      throw error;
    }
  },
};

/** The folder of the newest server programs. Debian keeps them out of PATH. */
async function findPrograms(): Promise<string> {
  const look = async (): Promise<string | undefined> => {
    const found = await Array.fromAsync(glob("/usr/lib/postgresql/*/bin/initdb"));
    const newest = found.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
    return newest && dirname(newest);
  };
  const present = await look();
  if (present !== undefined) return present;
  await installPackage("postgresql");
  const installed = await look();
  if (installed === undefined)
    throw new GateError("postgresql is installed, but there is no /usr/lib/postgresql/*/bin");
  return installed;
}

interface Initialise {
  readonly programs: string;
  readonly data: string;
  readonly password: string;
  readonly signal: AbortSignal;
}

async function initialise({ programs, data, password, signal }: Initialise): Promise<void> {
  const passwordFile = join(dirname(data), "password");
  // In a folder that its user alone may enter.
  await writeFile(passwordFile, `${password}\n`);
  await chmod(passwordFile, 0o644);
  const [command, ...args] = dropRights([
    join(programs, "initdb"),
    `--pgdata=${data}`,
    "--username=stigmer",
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
  ]);
  const result = await execa(command, args, {
    all: true,
    reject: false,
    stdin: "ignore",
    cwd: dirname(data),
    cancelSignal: signal,
  });
  await rm(passwordFile);
  if (result.exitCode !== 0) throw new GateError(`Postgres can't make its files in ${data}\n${result.all}`);
}

function settings(port: number): string[] {
  const values = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 200,
    // Nobody unplugs this machine, and all of it is thrown away: a killed server keeps its writes without it.
    fsync: "off",
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
