import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { expect, it } from "vitest";
import type { PrincipalRole } from "../interceptors/role.ts";
import { startServer } from "../start-server.ts";

const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

it("keeps one organization to its runs while others' begin, and takes no more when too many wait", async () => {
  const home = await mkdtemp(join(tmpdir(), "stigmer-run-limits-"));
  const authenticator = async (token: string) => {
    const [org = "", role = ""] = token.split("/");
    return { id: token, org, role: role as PrincipalRole };
  };
  const limits = { maxRuns: 2, maxWaitingRuns: 3 };
  const server = await startServer({ mode: "cloud", home, port: 0, authenticators: [authenticator], limits });
  const left = new AbortController();
  try {
    const transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}` });
    const agents = createClient(AgentCommandController, transport);
    const executions = createClient(AgentExecutionCommandController, transport);
    const submit = async (org: string): Promise<string> => {
      const agentId = agentOf.get(org) ?? "";
      const kind = { apiVersion: "agentic.stigmer.ai/v1", kind: "AgentExecution" };
      const run = await executions.create(
        { ...kind, metadata: { name: "hello" }, spec: { agentId, message: "Hello" } },
        as(`${org}/member`),
      );
      return run.metadata?.id ?? "";
    };
    const agentOf = new Map<string, string>();
    for (const org of ["flood", "quiet"]) {
      const kind = { apiVersion: "agentic.stigmer.ai/v1", kind: "Agent" };
      const agent = { ...kind, metadata: { name: "greeter" }, spec: { instructions: "Greet whoever speaks to you." } };
      agentOf.set(org, (await agents.create(agent, as(`${org}/owner`))).metadata?.id ?? "");
    }

    const runner = createClient(RunnerController, transport);
    const leased: string[] = [];
    const take = async (): Promise<void> => {
      const options = { ...as("/runner"), signal: left.signal };
      const hello = { runnerId: "r1", taskQueue: "agent_execution_runner", maxConcurrency: 100, version: "1" };
      for await (const { event } of runner.takeLeases(hello, options)) {
        if (event.case === "lease") leased.push(event.value.taskId);
      }
    };
    const taking = take().catch(() => {});

    const flood: string[] = [];
    for (let runs = 0; runs < 2; runs++) flood.push(await submit("flood"));
    await expect.poll(() => leased).toHaveLength(2);
    for (let runs = 0; runs < 3; runs++) flood.push(await submit("flood"));
    await expect(submit("flood")).rejects.toMatchObject({
      code: Code.ResourceExhausted,
      rawMessage:
        "organization flood has 3 runs that wait, which is as many as may: wait until some have begun, or cancel some",
    });
    const quiet = await submit("quiet");
    await expect.poll(() => leased).toEqual([...flood.slice(0, 2), quiet]);
    expect(await server.metrics()).toMatchObject({ leased: 3, waiting: 3 });

    const status = create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
    const lease = { taskId: flood[0] ?? "", fence: 1 };
    await runner.completeLease({ runnerId: "r1", lease, outcome: { case: "status", value: status } }, as("/runner"));
    await expect.poll(() => leased).toEqual([...flood.slice(0, 2), quiet, flood[2]]);
    left.abort();
    await taking;
  } finally {
    left.abort();
    await server.close();
    await rm(home, { recursive: true });
  }
});
