// A real server, a scripted model over HTTP, and runners as real processes: what every test here stands on.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema, type Agent } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema, type AgentExecution, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { SessionSchema, type Session } from "@stigmer/protos/session/v1";
import { startScriptedModel, type ScenarioFile, type ScriptedModel } from "@stigmer/scripted-model";
import { type RunningServer, startServer, type StartServerOptions } from "@stigmer/server";
import { startChild, type Child } from "./child.ts";

export const header = { apiVersion: "agentic.stigmer.ai/v1" } as const;
const SERVER = new URL("./run-server.ts", import.meta.url);
const MAIN = join(import.meta.dirname, "../main.ts");

/** A runner process and all that it printed. */
export interface RunnerProcess {
  readonly process: ChildProcess;
  /** What it has printed so far, stdout and stderr in one. */
  readonly output: () => string;
  /** Resolves when the text has been printed; rejects when the process ends without. */
  printed(text: string | RegExp): Promise<void>;
  /** The exit code, or the signal's name. */
  readonly exited: Promise<number | NodeJS.Signals>;
}

/** Starts a runner with exactly these variables, besides PATH. */
export function startRunner(env: Record<string, string>, options: { cwd?: string; secrets?: Record<string, string> } = {}): RunnerProcess {
  const child = spawn(process.execPath, ["--conditions=@stigmer/source", MAIN], {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"], ...env, ...(options.secrets && { STIGMER_SECRETS_FD: "3" }) },
    stdio: ["ignore", "pipe", "pipe", options.secrets ? "pipe" : "ignore"],
  });
  if (options.secrets) (child.stdio[3] as NodeJS.WritableStream).end(JSON.stringify(options.secrets));
  let text = "";
  let gone = false;
  const waiting = new Set<() => void>();
  const tell = (): void => waiting.forEach((check) => check());
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      tell();
    });
  }
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("close", (code, signal) => {
      gone = true;
      resolve(signal ?? code ?? -1);
      tell();
    });
  });
  return {
    process: child,
    output: () => text,
    exited,
    printed: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
          if (!found && !gone) return;
          waiting.delete(check);
          if (found) resolve();
          else reject(new Error(`the runner ended without printing ${String(wanted)}:\n${text}`));
        };
        waiting.add(check);
        check();
      }),
  };
}

export interface Platform extends AsyncDisposable {
  readonly home: string;
  /** Where the server is, also after a restart. */
  readonly endpoint: string;
  /** Of a server in the test's process. */
  readonly metrics: RunningServer["metrics"] | undefined;
  /** Takes the server away, for as long as `meanwhile` takes, and brings it back on the same port. */
  restartServer(meanwhile?: () => Promise<void>): Promise<void>;
  readonly client: StigmerClient;
  /** What every runner talks to, with the requests that it got. */
  readonly model: ScriptedModel;
  /** Starts a runner of this platform and waits until it takes work. */
  runner(env?: Record<string, string>): Promise<RunnerProcess>;
  applyAgent(spec?: MessageInitShape<typeof AgentSchema>["spec"], name?: string): Promise<Agent>;
  createSession(agent: Agent, spec?: MessageInitShape<typeof SessionSchema>["spec"]): Promise<Session>;
  submit(spec: MessageInitShape<typeof AgentExecutionSchema>["spec"]): Promise<AgentExecution>;
  /** Submits and follows to the end. */
  run(spec: MessageInitShape<typeof AgentExecutionSchema>["spec"]): Promise<AgentExecutionStatus>;
  /** Follows a run until `until` says so, or to its end. */
  follow(execution: AgentExecution, until?: (status: AgentExecutionStatus) => boolean): Promise<AgentExecutionStatus>;
}

export interface PlatformOptions {
  /** Default: the embedded one, impatient. */
  readonly engine?: StartServerOptions["engine"];
  /** The server is a process of its own, and a restart kills it with SIGKILL. Default: it runs in the test's process, and is closed. */
  readonly killServer?: boolean;
}

export async function startPlatform(scenario: ScenarioFile, options: PlatformOptions = {}): Promise<Platform> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-runner-"));
  const open = options.killServer ? spawnServer : openServer;
  const engine = options.engine ?? { reattachMs: 200 };
  let server = await open({ home, port: 0, engine });
  const { endpoint, apiKey } = server;
  const model = await startScriptedModel({ scenario });
  const client = createClient({ endpoint, apiKey });
  const runners: RunnerProcess[] = [];
  let sessions = 0;

  const platform: Platform = {
    home,
    endpoint,
    get metrics() {
      return server.metrics;
    },
    async restartServer(meanwhile) {
      await server.end();
      await meanwhile?.();
      server = await open({ home, port: Number(endpoint.split(":").at(-1)), engine });
    },
    client,
    model,
    async runner(env = {}) {
      const runner = startRunner(
        {
          MODE: "local",
          STIGMER_HOME: home,
          STIGMER_BACKEND_ENDPOINT: endpoint,
          ANTHROPIC_BASE_URL: model.url,
          ...(engine.type === "temporal" && {
            TEMPORAL_SERVICE_ADDRESS: engine.address,
            TEMPORAL_NAMESPACE: engine.namespace,
          }),
          ...env,
        },
        { secrets: { ANTHROPIC_API_KEY: "scripted-model-key" } },
      );
      runners.push(runner);
      await runner.printed("Worker ready, polling for tasks...");
      return runner;
    },
    applyAgent: (spec, name = "tester") =>
      client.agents.apply(
        create(AgentSchema, {
          ...header,
          kind: "Agent",
          metadata: { name },
          spec: { instructions: "Do what the person asks.", ...spec },
        }),
      ),
    createSession: (agent, spec) =>
      client.sessions.create(
        create(SessionSchema, {
          ...header,
          kind: "Session",
          // Names are unique per kind.
          metadata: { name: `session ${(sessions += 1)}` },
          spec: { agentInstanceId: agent.status?.defaultInstanceId, ...spec },
        }),
      ),
    submit: (spec) =>
      client.executions.create(create(AgentExecutionSchema, { ...header, kind: "AgentExecution", metadata: { name: "run" }, spec })),
    async run(spec) {
      return platform.follow(await platform.submit(spec));
    },
    async follow(execution, until) {
      let last: AgentExecutionStatus | undefined;
      for await (const { status } of client.executions.watch(execution.metadata?.id ?? "")) {
        last = status;
        if (until?.(status)) break;
      }
      if (!last) throw new Error("the watch told nothing");
      return last;
    },
    async [Symbol.asyncDispose]() {
      for (const runner of runners) runner.process.kill("SIGTERM");
      await Promise.all(runners.map(({ exited }) => exited));
      client.close();
      await server.end();
      await model.close();
      await rm(home, { recursive: true, force: true });
    },
  };
  return platform;
}

interface Server {
  readonly endpoint: string;
  readonly apiKey: string;
  readonly metrics?: RunningServer["metrics"];
  end(): Promise<void>;
}

async function openServer(options: StartServerOptions): Promise<Server> {
  const { endpoint, apiKey, metrics, close } = await startServer(options);
  return { endpoint, apiKey, metrics, end: close };
}

async function spawnServer(options: StartServerOptions): Promise<Server> {
  const args = ["--conditions=@stigmer/source", fileURLToPath(SERVER), JSON.stringify(options)];
  const child: Child & { found: readonly string[] } = await startChild(process.execPath, args, /^ready (\S+) (\S+)$/m);
  const [endpoint = "", apiKey = ""] = child.found;
  return { endpoint, apiKey, end: () => child.end("SIGKILL") };
}
