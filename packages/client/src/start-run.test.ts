import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import {
  type AgentExecution,
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  ExecutionPhase,
  UnknownOutcomePolicy,
} from "@stigmer/protos/agentexecution/v1";
import { describe, expect, it } from "vitest";
import { createResourceClients } from "./resource-clients.ts";
import type { ExecutionClient } from "./executions.ts";

const AGENT = "agt-01m7yp6m06v3nf22f78h88f1ad";
const away = new ConnectError("restarting", Code.Unavailable);

interface Server {
  readonly executions: ExecutionClient;
  readonly stored: Map<string, AgentExecution>;
  /** Each call that was made: its method and the run. */
  readonly calls: string[];
}

/** A server whose runs are completed as soon as they are there. `onCreate` is asked before the answer to a creation. */
function serve(onCreate: (attempt: number, id: string) => Promise<void> | void = () => {}): Server {
  const stored = new Map<string, AgentExecution>();
  const calls: string[] = [];
  let attempts = 0;
  const transport = createRouterTransport((router) => {
    router.service(AgentQueryController, {
      getByReference: ({ org, slug }) => ({ metadata: { id: `agt-of-${org}-${slug}` } }),
    });
    router.service(AgentExecutionCommandController, {
      create: async (execution) => {
        const id = execution.metadata?.id ?? "";
        calls.push(`create ${id}`);
        attempts += 1;
        const isTaken = stored.has(id);
        stored.set(id, execution);
        await onCreate(attempts, id);
        if (isTaken) throw new ConnectError("taken", Code.AlreadyExists);
        return execution;
      },
      cancel: ({ executionId }) => {
        calls.push(`cancel ${executionId}`);
        return {};
      },
    });
    router.service(AgentExecutionQueryController, {
      get: ({ value }) => {
        calls.push(`get ${value}`);
        return stored.get(value) ?? {};
      },
      async *watch({ executionId }) {
        const status = { phase: ExecutionPhase.EXECUTION_COMPLETED };
        yield { revision: 1, event: { case: "snapshot", value: { metadata: { id: executionId }, status } } };
      },
    });
  });
  const { executions } = createResourceClients(transport, { org: "local", ownOrg: "" });
  return { executions, stored, calls };
}

describe("a run's start", () => {
  it("is repeated under the same id when its answer got lost, and found to have happened", async () => {
    const { executions, stored, calls } = serve((attempt) => {
      if (attempt === 1) throw away;
    });
    const run = executions.run({ agent: AGENT, message: "once" });
    expect((await run.execution).metadata?.id).toBe(run.id);
    expect((await run.result()).phase).toBe("completed");
    expect(calls).toEqual([`create ${run.id}`, `create ${run.id}`, `get ${run.id}`]);
    expect(stored.size).toBe(1);
  });

  it("says what was asked", async () => {
    const { executions, stored } = serve();
    const run = executions.run({
      agent: "greeter",
      org: "acme",
      message: "all of it",
      model: "m-1",
      env: { A: "1" },
      secrets: { B: "2" },
      onUnknownOutcome: "pause",
      name: "nightly",
      labels: { team: "ops" },
      tags: ["t"],
    });
    await run.execution;
    expect(stored.get(run.id)).toMatchObject({
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "AgentExecution",
      metadata: { id: run.id, name: "nightly", org: "acme", labels: { team: "ops" }, tags: ["t"] },
      spec: {
        agentRef: { slug: "greeter", org: "acme" },
        sessionId: "",
        message: "all of it",
        executionConfig: { modelName: "m-1", unknownOutcome: UnknownOutcomePolicy.PAUSE },
        runtimeEnv: { A: { value: "1", isSecret: false }, B: { value: "2", isSecret: true } },
      },
    });
  });

  it("asks a server that knows no names for the agent's id", async () => {
    const { executions, stored, calls } = serve((_attempt, id) => {
      if (stored.get(id)?.spec?.agentId !== "") return;
      stored.delete(id);
      throw new ConnectError("session_id or agent_id is required", Code.InvalidArgument);
    });
    const run = executions.run({ agent: { slug: "greeter", org: "acme" }, message: "Hi" });
    await run.execution;
    expect(calls).toEqual([`create ${run.id}`, `create ${run.id}`]);
    expect(stored.get(run.id)?.spec).toMatchObject({ agentId: "agt-of-acme-greeter", message: "Hi" });
    expect(stored.get(run.id)?.spec?.agentRef).toBeUndefined();
  });

  it("that is under way when its caller gives up is cancelled once it is known, where that was asked for", async () => {
    for (const cancelOnAbort of [true, false]) {
      const reached = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      const { executions, calls } = serve(() => {
        reached.resolve();
        return answer.promise;
      });
      const controller = new AbortController();
      const run = executions.run({ agent: AGENT, message: "x", signal: controller.signal, cancelOnAbort });
      const result = run.result();
      await reached.promise;
      controller.abort();
      // Whoever waits is let go at once.
      await expect(result).rejects.toMatchObject({ code: "cancelled" });
      expect(calls).toEqual([`create ${run.id}`]);
      answer.resolve();
      await run.execution.catch(() => {});
      await expect
        .poll(() => calls, { timeout: 10_000 })
        .toEqual(cancelOnAbort ? [`create ${run.id}`, `cancel ${run.id}`] : [`create ${run.id}`]);
    }
  });

  it("whose server stays away is given up, and may be waited for again", async () => {
    const { executions, calls } = serve(() => {
      throw away;
    });
    const run = executions.run({ agent: AGENT, message: "x" });
    await expect(run.result()).rejects.toMatchObject({
      code: "unavailable",
      message: `execution ${run.id}: restarting`,
    });
    expect(calls).toEqual(Array.from({ length: 5 }, () => `create ${run.id}`));
  });
});

it("a result that could not be waited for is waited for anew", async () => {
  let opened = 0;
  const transport = createRouterTransport((router) => {
    router.service(AgentExecutionQueryController, {
      get: ({ value }) => ({ metadata: { id: value } }),
      async *watch() {
        opened += 1;
        if (opened < 3) throw away;
        yield {
          revision: 1,
          event: { case: "snapshot", value: { status: { phase: ExecutionPhase.EXECUTION_FAILED, error: "no" } } },
        };
      },
    });
  });
  const { executions } = createResourceClients(transport, { org: "", ownOrg: "" });
  const run = executions.attach("aex-1", { giveUpAfterMs: 0 });
  await expect(run.result()).rejects.toMatchObject({ code: "unavailable" });
  expect(await run.result()).toMatchObject({ phase: "failed", error: "no", output: "" });
});
