import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type StigmerClient } from "@stigmer/client";
import { ConfigError, readBackend, resolveHome } from "@stigmer/config";
import { childCommands } from "../../daemon/child-commands.ts";
import { CliError } from "../../errors.ts";
import type { CommandIo } from "../../command-io.ts";
import { platformEnvironment } from "../demo/platform.ts";
import { startForwardingProxy, type ForwardingProxy } from "./forwarding-proxy.ts";
import type { Link, Victim } from "./durable-points.ts";
import { type ManagedProcess, startManaged } from "./managed-process.ts";
import type { Recorder } from "./recorder.ts";
import { devServerCommand, findPort, untilServing } from "./temporal-server.ts";

export interface PlatformOptions {
  /** Everything of the platform is in here. Made by the caller, who removes it. */
  readonly root: string;
  readonly env: CommandIo["env"];
  /** For the runner: how to reach the model. */
  readonly modelVariables: Readonly<Record<string, string>>;
  /** Temporal's command line; absent: the embedded engine. */
  readonly temporal?: string;
  readonly recorder: Pick<Recorder, "gatekeeper">;
  readonly signal: AbortSignal;
}

/** A platform of real processes that can be killed and started again. All their talk goes through proxies. */
export interface ChaosPlatform {
  readonly home: string;
  /** Straight to the server. */
  readonly client: StigmerClient;
  /** Through a proxy. */
  readonly watched: StigmerClient;
  /** SIGKILL. Resolves when the process is gone. */
  kill(victim: Victim): Promise<void>;
  /** Starts it again where it was. Resolves when it is ready. */
  restart(victim: Victim): Promise<void>;
  /** What ended without having been killed, in a line each. */
  readonly crashes: readonly string[];
  /** Stops all processes in order and closes the proxies. Idempotent. */
  stop(): Promise<void>;
}

const RUNNER_GRACE_MS = 12_000;
const SERVER_GRACE_MS = 5_000;

export async function startPlatform(options: PlatformOptions): Promise<ChaosPlatform> {
  const { root, recorder, temporal, signal, modelVariables } = options;
  const home = join(root, "home");
  await mkdir(home, { recursive: true });
  const env = platformEnvironment(options.env, home);
  const homes = resolveHome(env);
  const opened: (() => Promise<void> | void)[] = [];
  const crashes: string[] = [];
  const processes = new Map<Victim, ManagedProcess>();
  let stopping: Promise<void> | undefined;

  const openProxy = async (link: Link, upstreamPort: number): Promise<ForwardingProxy> => {
    const proxy = await startForwardingProxy({ upstreamPort, gatekeeper: recorder.gatekeeper(link) });
    opened.push(() => proxy.close());
    return proxy;
  };
  const run = async (victim: Victim, start: () => ManagedProcess): Promise<ManagedProcess> => {
    signal.throwIfAborted();
    // Who is killed at the very end is not started again.
    if (stopping !== undefined) throw new Error("the platform is being stopped");
    const child = start();
    processes.set(victim, child);
    void noteCrash(victim, child);
    await child.ready;
    return child;
  };
  const noteCrash = async (victim: Victim, child: ManagedProcess): Promise<void> => {
    const reason = await child.gone;
    if (!child.wasEnded) crashes.push(`${victim} ${reason}`);
  };
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const [victim, graceMs] of [
        ["runner", RUNNER_GRACE_MS],
        ["server", SERVER_GRACE_MS],
        ["engine", 0],
      ] as const) {
        // Whoever gave up does not wait for what runs.
        await processes.get(victim)?.end(signal.aborted ? 0 : graceMs);
      }
      for (const close of opened.toReversed()) await close();
    })();
    return stopping;
  };

  try {
    const engineEnv = { server: env, runner: env };
    const starts = new Map<Victim, () => Promise<ManagedProcess>>();
    if (temporal !== undefined) {
      const port = await findPort();
      const command = devServerCommand({ program: temporal, port, root, env: options.env });
      starts.set("engine", () =>
        run("engine", () => startManaged({ ...command, isReady: (child) => untilServing(port, child) })),
      );
      await starts.get("engine")?.();
      const [ofServer, ofRunner] = [await openProxy("server-engine", port), await openProxy("runner-engine", port)];
      engineEnv.server = { ...env, ...temporalVariables(ofServer.port) };
      engineEnv.runner = { ...env, ...temporalVariables(ofRunner.port) };
    }
    const secrets = { ...modelVariables };
    const serverCommands = childCommands({ homes, env: engineEnv.server, secrets: {} });
    const runnerCommands = childCommands({ homes, env: engineEnv.runner, secrets });
    let port = 0;
    starts.set("server", () => run("server", () => startManaged(serverCommands.server(port))));
    port = (await (await starts.get("server")?.())?.ready) ?? 0;
    const [ofClient, ofRunner] = [await openProxy("client", port), await openProxy("runner", port)];
    starts.set("runner", () => run("runner", () => startManaged(runnerCommands.runner(ofRunner.port))));
    await starts.get("runner")?.();

    const connect = (toPort: number): StigmerClient => {
      const endpoint = `127.0.0.1:${toPort}`;
      const backend = readBackend({ STIGMER_HOME: home, STIGMER_BACKEND_ENDPOINT: endpoint });
      if (!backend.ok) throw new ConfigError(backend.problems);
      const client = createClient({ endpoint, apiKey: backend.backend.apiKey });
      opened.push(() => client.close());
      return client;
    };
    return {
      home,
      client: connect(port),
      watched: connect(ofClient.port),
      crashes,
      kill: async (victim) => processes.get(victim)?.end(0),
      restart: async (victim) => {
        await starts.get(victim)?.();
      },
      stop,
    };
  } catch (error) {
    await stop();
    if (CliError.is(error) || signal.aborted) throw error;
    throw new CliError("failed", error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function temporalVariables(port: number): Record<string, string> {
  return { STIGMER_ENGINE: "temporal", TEMPORAL_SERVICE_ADDRESS: `127.0.0.1:${port}`, TEMPORAL_NAMESPACE: "default" };
}
