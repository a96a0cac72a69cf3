// Server, runners and Temporal as the processes that they are, so that they can be killed as such.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { heapArguments } from "@stigmer/config/node-process";
import type { ScenarioFile } from "@stigmer/scripted-model";
import type { Packed } from "../packed.ts";

const repository = dirname(dirname(import.meta.dirname));
const SOURCE: Packed = {
  cli: join(repository, "apps/cli/src/main.ts"),
  runner: join(repository, "apps/agent-runner/src/main.ts"),
};
const MODEL = join(repository, "packages/scripted-model/src/main.ts");

export interface Process {
  readonly child: ChildProcess;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface Platform extends AsyncDisposable {
  readonly home: string;
  readonly endpoint: string;
  /** Where Temporal is, once it was started. */
  readonly temporalAddress: string;
  /** Resolves when it takes calls. */
  server(): Promise<Process>;
  /** Resolves when it takes work. */
  runner(): Promise<Process>;
  /** Resolves when it takes calls. Only with an engine `temporal`. */
  temporal(): Promise<Process>;
}

/** A model of its own process, as a runner has it: it takes no turn of the event loop that is measured. */
export async function openModel(scenario: ScenarioFile): Promise<{ readonly url: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-bench-model-"));
  const file = join(folder, "scenario.json");
  await writeFile(file, JSON.stringify(scenario));
  const port = await freePort();
  const args = ["--conditions=@stigmer/source", MODEL, "--scenario", file, "--port", String(port)];
  const url = `http://127.0.0.1:${port}`;
  const model = await startProcess([process.execPath, ...args], { env: {}, ready: url });
  return {
    url,
    async [Symbol.asyncDispose]() {
      await model.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface PlatformOptions {
  readonly modelUrl: string;
  /** Paths of the programs as they are released; without them they run from source. */
  readonly programs?: Packed;
  /** Path of Temporal's command line; without it the engine is the embedded one. */
  readonly temporal?: string;
  /** Of the server alone, and of runners alone, beside what they need. */
  readonly serverEnv?: Readonly<Record<string, string>>;
  readonly runnerEnv?: Readonly<Record<string, string>>;
}

/** A home and ports for a platform; nothing runs in it yet. Everything that was started is killed at its end. */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-bench-"));
  const [port, temporalPort] = [await freePort(), await freePort()];
  const endpoint = `127.0.0.1:${port}`;
  const started: Process[] = [];
  const env: Record<string, string> = {
    MODE: "local",
    STIGMER_HOME: home,
    LOG_LEVEL: "ERROR",
    ...(options.temporal && { TEMPORAL_SERVICE_ADDRESS: `127.0.0.1:${temporalPort}` }),
  };
  const start = async (command: readonly [string, ...string[]], own: Record<string, string>, ready: string) => {
    const process = await startProcess(command, { env: { ...env, ...own }, ready });
    started.push(process);
    return process;
  };
  const { cli, runner } = options.programs ?? SOURCE;
  const node = [process.execPath, ...(options.programs === undefined ? ["--conditions=@stigmer/source"] : [])] as const;
  return {
    home,
    endpoint,
    temporalAddress: `127.0.0.1:${temporalPort}`,
    server: () =>
      start(
        // As `stigmer local start` starts them.
        [...node, ...heapArguments.server, cli, "server", "run", "--port", String(port)],
        { ...options.serverEnv },
        "stigmer-server is ready",
      ),
    runner: () => {
      const model = {
        ...options.runnerEnv,
        ANTHROPIC_API_KEY: "scripted-model-key",
        ANTHROPIC_BASE_URL: options.modelUrl,
      };
      return start(
        [...node, ...heapArguments.runner, runner],
        { ...model, STIGMER_BACKEND_ENDPOINT: endpoint },
        "Worker ready",
      );
    },
    temporal: () => {
      const file = ["--db-filename", join(home, "temporal.db")];
      const where = ["--ip", "127.0.0.1", "--port", String(temporalPort)];
      return start(
        [options.temporal ?? "temporal", "server", "start-dev", "--headless", ...where, ...file],
        {},
        "Server:  ",
      );
    },
    async [Symbol.asyncDispose]() {
      // The last started first: a runner that outlives its server would wait for it.
      for (const process of started.toReversed()) await process.kill();
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

interface StartOptions {
  readonly env: Readonly<Record<string, string>>;
  /** What it says when it is ready, or what resolves when it is. */
  readonly ready: string | ((gone: AbortSignal) => Promise<void>);
  /** Default: the folder of temporary files. */
  readonly cwd?: string;
  /** It starts processes itself, which end with it. */
  readonly group?: boolean;
}

/** Resolves when it is ready. Throws with what it said when it ends before. */
export async function startProcess(
  [command, ...args]: readonly [string, ...string[]],
  { env, ready, cwd = tmpdir(), group = false }: StartOptions,
): Promise<Process> {
  const child = spawn(command, args, {
    cwd,
    detached: group,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = new AbortController();
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const listen = (text: string): void => {
      output = (output + text).slice(-100_000);
      if (typeof ready === "string" && output.includes(ready)) resolve();
    };
    child.stdout.setEncoding("utf8").on("data", listen);
    child.stderr.setEncoding("utf8").on("data", listen);
    child.once("error", reject);
    child.once("exit", (code) => {
      ended.abort();
      reject(new Error(`${command} ended with ${code} before it was ready:\n${output}`));
    });
    if (typeof ready !== "string") ready(ended.signal).then(resolve, reject);
  });
  const end = (signal: NodeJS.Signals) => (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return gone;
    if (group && child.pid !== undefined) process.kill(-child.pid, signal);
    else child.kill(signal);
    return gone;
  };
  // A terminal's Ctrl-C does not reach a group of its own.
  if (group) process.once("exit", end("SIGKILL"));
  return { child, kill: end("SIGKILL"), stop: end("SIGTERM") };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
