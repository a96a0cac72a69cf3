// A server of its own for each case, and the things in it that a case starts from.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningServer, startServer, type StartServerOptions } from "@stigmer/server";
import { type Answer, at, type Caller, idOf } from "./caller.ts";
import { openGrpcJs } from "./clients/grpc-js.ts";

export const apiVersion = "agentic.stigmer.ai/v1";

export const resource = (kind: string, name: string, spec: object): object => ({
  apiVersion,
  kind,
  metadata: { name },
  spec,
});

export const agentOf = (name: string, spec: object = {}): object =>
  resource("Agent", name, { instructions: "Answer in few words.", ...spec });

export interface World extends AsyncDisposable {
  readonly endpoint: string;
  readonly apiKey: string;
  readonly metrics: RunningServer["metrics"];
  /** Makes what a case needs before the call that it is about, and looks at what came of it. */
  readonly own: Caller;
  agent(name?: string): Promise<Answer>;
  session(agent?: Answer): Promise<Answer>;
  /** A run that waits for a runner. */
  run(spec?: object): Promise<Answer>;
  /** A run in the hands of a runner; its lease lasts as long as the world. */
  leased(): Promise<{ run: Answer; id: string; fence: number; lease: { taskId: string; fence: number } }>;
}

export const PKG = "ai.stigmer.agentic";
export const EXECUTIONS: string = `${PKG}.agentexecution.v1.AgentExecutionCommandController`;
export const EXECUTION_QUERIES: string = `${PKG}.agentexecution.v1.AgentExecutionQueryController`;
export const RUNNER: string = `${PKG}.runner.v1.RunnerController`;
const QUEUE = "agent_execution_runner";

export async function openWorld(options: Partial<StartServerOptions> = {}): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-interop-"));
  const server = await startServer({ home, port: 0, ...options });
  const own = openGrpcJs(server);
  const streams: AsyncGenerator<Answer, void, void>[] = [];
  const agent = (name = "Helper"): Promise<Answer> =>
    own.call(`${PKG}.agent.v1.AgentCommandController/apply`, agentOf(name));
  const run = async (spec: object = {}): Promise<Answer> =>
    own.call(
      `${EXECUTIONS}/create`,
      resource("AgentExecution", "run", { agentId: idOf(await agent()), message: "Hello", ...spec }),
    );
  return {
    endpoint: server.endpoint,
    apiKey: server.apiKey,
    metrics: server.metrics,
    own,
    agent,
    run,
    session: async (of) =>
      own.call(
        `${PKG}.session.v1.SessionCommandController/create`,
        resource("Session", "talk", { agentInstanceId: at(of ?? (await agent()), "status.defaultInstanceId") }),
      ),
    leased: async () => {
      const created = await run();
      const leases = own.stream(`${RUNNER}/takeLeases`, {
        runnerId: "own-runner",
        taskQueue: QUEUE,
        maxConcurrency: 1,
      });
      streams.push(leases);
      for (;;) {
        const { value } = await leases.next();
        if (!value) throw new Error("The stream of leases ended.");
        const lease = value["lease"] as { taskId: string; fence: number } | undefined;
        if (lease) {
          const { taskId, fence } = lease;
          return { run: created, id: idOf(created), fence, lease: { taskId, fence } };
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(streams.map((stream) => stream.return()));
      own.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
