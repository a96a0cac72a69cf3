import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toJsonString } from "@bufbuild/protobuf";
import {
  type CallOptions,
  createClient,
  createContextValues,
  type HandlerContext,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import {
  type Lease,
  LeaseSchema,
  RunnerController,
  RunPartsSchema,
  TakeLeasesRequestSchema,
} from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Authenticator, Principal } from "../interceptors/principal.ts";
import { silentLogger } from "../logger.ts";
import { createSecrets } from "../secrets/create-secrets.ts";
import { type RunningServer, startServer } from "../start-server.ts";
import { given } from "./__fixtures__/open-test-server.ts";
import { createLeasesWithParts, type TakeLeases } from "./leases-with-parts.ts";
import type { ReadParts } from "./resolve-run.ts";

const CANARY = "canary-41c7";
const QUEUE = "agent_execution_runner";

const as = (token: string, more: Record<string, string> = {}): CallOptions => ({
  headers: { authorization: `Bearer ${token}`, ...more },
});

describe("a runner of a server", () => {
  let home: string;
  let server: RunningServer;
  let transport: Transport;
  let isRevoked: boolean;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "stigmer-leases-"));
    isRevoked = false;
  });
  afterEach(async () => {
    await server.close();
    await rm(home, { recursive: true });
  });

  const authenticator: Authenticator = async (token) => {
    const [org = "", role = ""] = token.split(".");
    if (role === "runner" && isRevoked) return undefined;
    return { id: token, org, role: role as Principal["role"] };
  };

  /** Whose keys there are, the client's first. */
  async function start(mode: "local" | "cloud"): Promise<readonly [owner: string, runner: string]> {
    server = await startServer({ mode, home, port: 0, authenticators: mode === "cloud" ? [authenticator] : [] });
    transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}` });
    return mode === "cloud" ? ["acme.owner", "x.runner"] : [server.apiKey, server.apiKey];
  }

  /** A run with a secret, in a new session. */
  async function run(owner: string): Promise<string> {
    const agent = await createClient(AgentCommandController, transport).apply(given.agent("a"), as(owner));
    const runtimeEnv = { TOKEN: { value: CANARY, isSecret: true } };
    const spec = { agentId: agent.metadata?.id ?? "", runtimeEnv };
    const made = await createClient(AgentExecutionCommandController, transport).create(
      given.execution(spec),
      as(owner),
    );
    return made.metadata?.id ?? "";
  }

  async function* leasesOf(runner: string): AsyncGenerator<Lease | undefined> {
    const request = { runnerId: "r1", taskQueue: QUEUE, maxConcurrency: 4 };
    for await (const { event } of createClient(RunnerController, transport).takeLeases(request, as(runner)))
      yield event.case === "lease" ? event.value : undefined;
  }

  it.each(["local", "cloud"] as const)(
    "is given with a run what resolveRun tells its holder, in %s mode",
    async (mode) => {
      const [owner, runner] = await start(mode);
      const leases = leasesOf(runner);
      expect((await leases.next()).value).toBeUndefined();
      const executionId = await run(owner);
      const { task, fence } = (await leases.next()).value ?? create(LeaseSchema);
      if (task.case !== "agentExecution") throw new Error("no run");
      const { parts, execution } = task.value;
      expect(parts?.context?.spec?.data["TOKEN"]?.value).toBe(CANARY);
      expect(parts?.session?.spec?.threadId).toBe(`thread-${parts?.session?.metadata?.id}`);
      const held = as(runner, { "stigmer-fence": `${executionId}/${fence}` });
      const { $typeName: _, ...told } = await createClient(RunnerController, transport).resolveRun(
        { executionId },
        held,
      );
      expect({ execution, ...parts, $typeName: undefined }).toEqual({ ...told, $typeName: undefined });
      await leases.return(undefined);
    },
  );

  it("is told nothing more on its stream from the moment when its key is revoked", async () => {
    const [owner, runner] = await start("cloud");
    const leases = leasesOf(runner);
    await leases.next();
    await run(owner);
    expect((await leases.next()).value?.task.value).toMatchObject({ parts: { session: {} } });
    isRevoked = true;
    const executionId = await run(owner);
    const lease = (await leases.next()).value;
    expect(lease?.taskId).toBe(executionId);
    expect(lease?.task.value).not.toHaveProperty("parts");
    expect(lease && toJsonString(LeaseSchema, lease)).not.toContain(CANARY);
    await leases.return(undefined).catch(() => {});
  });
});

describe("a lease", () => {
  const RUNNER: Principal = { id: "r", org: "", role: "runner" };
  const context = { values: createContextValues() } as HandlerContext;
  const parts = create(RunPartsSchema, { session: { metadata: { id: "ses-1" } } });

  function leaseOf(id: string, spec: object = {}): Lease {
    const execution = { metadata: { id, org: "acme" }, spec: { sessionId: "ses-1", ...spec } };
    return create(LeaseSchema, { taskId: id, fence: 3, task: { case: "agentExecution", value: { execution } } });
  }

  /** What comes of leases and of an event that follows them: whose, and whether it came with its parts. */
  async function told({ leases, read }: { leases: readonly Lease[]; read: ReadParts }): Promise<string[]> {
    const secrets = createSecrets(new Uint8Array(32));
    const wrap = createLeasesWithParts({ readParts: read, secrets, principalOf: () => RUNNER, logger: silentLogger });
    const takeLeases: TakeLeases = async function* () {
      for (const value of leases) yield { event: { case: "lease", value } };
      yield { event: { case: "lost", value: { taskId: "aex-0", fence: 1 } } };
    };
    const events: string[] = [];
    for await (const { event } of wrap(takeLeases)(create(TakeLeasesRequestSchema), context)) {
      if (event?.case !== "lease") {
        events.push(event?.case ?? "");
        continue;
      }
      const { taskId, task } = create(LeaseSchema, event.value);
      events.push(`${taskId} ${task.case === "agentExecution" && task.value.parts ? "whole" : "alone"}`);
    }
    return events;
  }

  it("is read as for the holder that the runner has become, in the run's organization", async () => {
    const callers: Principal[] = [];
    const read: ReadParts = async (_execution, { principal }) => (callers.push(principal), parts);
    expect(await told({ leases: [leaseOf("aex-1")], read })).toEqual(["aex-1 whole", "lost"]);
    const holds = { executionId: "aex-1", fence: 3, org: "acme", sessionId: "ses-1" };
    expect(callers).toEqual([{ ...RUNNER, org: "acme", holds }]);
  });

  it("goes alone where a part can't be read, and where its secrets are not in a context", async () => {
    const read: ReadParts = async ({ metadata }) => {
      if (metadata?.id === "aex-1") throw new Error("gone");
      return parts;
    };
    const secret = { runtimeEnv: { TOKEN: { value: "********", isSecret: true } } };
    const leases = [leaseOf("aex-1"), leaseOf("aex-2", secret), leaseOf("aex-3")];
    expect(await told({ leases, read })).toEqual(["aex-1 alone", "aex-2 alone", "aex-3 whole", "lost"]);
  });

  it("is read beside others, and sent in its turn", async () => {
    const second = Promise.withResolvers<void>();
    const read: ReadParts = async ({ metadata }) => {
      if (metadata?.id === "aex-1") await second.promise;
      else second.resolve();
      return parts;
    };
    expect(await told({ leases: [leaseOf("aex-1"), leaseOf("aex-2")], read })).toEqual([
      "aex-1 whole",
      "aex-2 whole",
      "lost",
    ]);
  });

  it("that removes a sandbox goes as it is", async () => {
    const read: ReadParts = () => Promise.reject(new Error("not asked"));
    const cleanup = create(LeaseSchema, { taskId: "cls-1", fence: 1, task: { case: "cleanupSandbox", value: {} } });
    expect(await told({ leases: [cleanup], read })).toEqual(["cls-1 alone", "lost"]);
  });
});
