import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const READY_WITHIN_MS = 60_000;

/** Temporal's own dev server, as a process with a file for its data: it can be killed and comes back with all it knew. */
export interface DevServer {
  /** `127.0.0.1:<port>`; the same after a restart. */
  readonly address: string;
  readonly port: number;
  /** Holds all that it stores. */
  readonly directory: string;
  /** `default`. */
  readonly namespace: string;
  /** One that nobody has used yet: ids of runs are free in it. */
  freshNamespace(): string;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port and file. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  dispose(): Promise<void>;
}

export interface DevServerOptions {
  /** How many namespaces there are to be. Default 20. */
  readonly namespaces?: number;
  /** Custom search attributes of all namespaces, such as `{ StigmerAgent: "Keyword" }`. */
  readonly searchAttributes?: Readonly<Record<string, string>>;
  /** Settings of the server, such as `{ "limit.historyCount.suggestContinueAsNew": 10 }`. */
  readonly dynamicConfig?: Readonly<Record<string, number>>;
}

/**
 * Starts `temporal server start-dev` on a free port of 127.0.0.1. The program is named by `STIGMER_TEST_TEMPORAL`; without
 * that it fails, since a system test that silently did not run proves nothing.
 */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const program = process.env["STIGMER_TEST_TEMPORAL"];
  if (!program) throw new Error("STIGMER_TEST_TEMPORAL is not set; it names the Temporal CLI that this test starts.");
  const directory = await mkdtemp(join(tmpdir(), "stigmer-temporal-"));
  const port = await freePort();
  const namespaces = Array.from({ length: options.namespaces ?? 20 }, (_, index) => `test-${String(index + 1)}`);
  const searchAttributes = Object.entries(options.searchAttributes ?? {});
  const args = [
    "server",
    "start-dev",
    "--headless",
    ...flag("ip", "127.0.0.1"),
    ...flag("port", String(port)),
    ...flag("db-filename", join(directory, "temporal.db")),
    ...flag("log-level", "never"),
    ...flag("color", "never"),
    // What a killed process has written stays; only a power cut could take it.
    ...flag("sqlite-pragma", "journal_mode=WAL"),
    ...flag("sqlite-pragma", "synchronous=OFF"),
    ...namespaces.flatMap((name) => flag("namespace", name)),
    ...searchAttributes.flatMap(([name, type]) => flag("search-attribute", `${name}=${type}`)),
    ...Object.entries(options.dynamicConfig ?? {}).flatMap(([key, value]) =>
      flag("dynamic-config-value", `${key}=${String(value)}`),
    ),
  ];
  let running = await launch(program, args);

  return {
    address: `127.0.0.1:${String(port)}`,
    port,
    directory,
    namespace: "default",
    freshNamespace: () => {
      const name = namespaces.shift();
      if (name === undefined) throw new Error("The dev server has no fresh namespace left; start it with more of them.");
      return name;
    },
    kill: () => running.end("SIGKILL"),
    restart: async () => {
      await running.end("SIGKILL");
      running = await launch(program, args);
    },
    dispose: async () => {
      await running.end("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function flag(name: string, value: string): string[] {
  return [`--${name}`, value];
}

interface Running {
  end(signal: NodeJS.Signals): Promise<void>;
}

async function launch(program: string, args: readonly string[]): Promise<Running> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  // A test process that ends early must not leave a server behind.
  const endWithUs = (): void => void child.kill("SIGKILL");
  process.once("exit", endWithUs);
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => {
      process.removeListener("exit", endWithUs);
      resolve();
    });
    child.once("error", () => resolve());
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  try {
    await ready(child);
  } catch (error) {
    await end("SIGKILL");
    throw error;
  }
  return { end };
}

/** Resolves when it says where it listens, which it does when everything is up. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const fail = (what: string): void =>
      reject(new Error(`Temporal's dev server ${what}. It said: ${said.join(" | ") || "nothing"}`));
    const timer = setTimeout(() => fail(`was not ready within ${String(READY_WITHIN_MS)} ms`), READY_WITHIN_MS);
    child.once("error", (error) => fail(`could not be started (${error.message})`));
    child.once("exit", (code, signal) => fail(`ended (${String(code ?? signal)})`));
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on("line", (line) => {
        said.push(line);
        if (!/^(Temporal )?Server:/.test(line)) return;
        clearTimeout(timer);
        resolve();
      });
    }
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
