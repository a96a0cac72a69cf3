import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { ClientError, type ResourceClients, type RunnerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { ResolveRunResponseSchema, type RunParts, RunPartsSchema } from "@stigmer/protos/runner/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { describe, expect, it } from "vitest";
import { findRun, resolveRun } from "./resolve-chain.ts";
import { RunError } from "./run-error.ts";

const execution = create(AgentExecutionSchema, { metadata: { id: "aex-1" }, spec: { sessionId: "ses-1" } });

const session = create(SessionSchema, { metadata: { id: "ses-1" }, spec: { agentInstanceId: "ain-1" } });
const instance = create(AgentInstanceSchema, { spec: { agentId: "agt-1" } });
const agent = create(AgentSchema, { metadata: { id: "agt-1" }, spec: { skillRefs: [{ slug: "one" }] } });

/** A server whose skills fail in a given way; each part of a run that is asked for by itself is noted. */
function clients(failure: ClientError, asked: string[] = []): ResourceClients {
  const got = <T>(what: string, value: T) => ({ get: async () => (asked.push(what), value) });
  return {
    executions: got("execution", execution),
    sessions: got("session", session),
    agentInstances: got("instance", instance),
    agents: got("agent", agent),
    skills: { getByReference: () => Promise.reject(failure) },
    // One that knows no contexts.
    transport: createRouterTransport(() => {}),
  } as unknown as ResourceClients;
}

const unasked = new ClientError("internal", "not asked");
const whole = create(ResolveRunResponseSchema, { execution, session, instance, agent });

describe("findRun", () => {
  const find = async (resolveRun: RunnerClient["resolveRun"], fence = 7, parts?: RunParts) => {
    const asked: string[] = [];
    const found = await findRun(execution, { runner: { resolveRun }, clients: clients(unasked, asked), fence, parts });
    return { chain: await found.chain, execution: found.execution, asked };
  };

  it("asks once, under the fence", async () => {
    const fences: unknown[] = [];
    const { chain, asked } = await find(async (fence) => (fences.push(fence), whole));
    expect(chain).toEqual({ session: whole.session, instance: whole.instance, agent: whole.agent, context: undefined });
    expect([fences, asked]).toEqual([[{ executionId: "aex-1", fence: 7 }], []]);
  });

  it("asks nothing where all came with the task", async () => {
    const context = { metadata: { id: "ctx-1" } };
    const parts = create(RunPartsSchema, { session, instance, agent, context });
    const found = await find(() => Promise.reject(unasked), 7, parts);
    expect(found).toEqual({
      chain: { session: parts.session, instance: parts.instance, agent: parts.agent, context: parts.context },
      execution,
      asked: [],
    });
  });

  it("asks where something did not", async () => {
    const { asked, chain } = await find(async () => whole, 7, create(RunPartsSchema, { session, agent }));
    expect([asked, chain.instance]).toEqual([[], whole.instance]);
  });

  it.each<[string, RunnerClient["resolveRun"], number]>([
    ["the server does not know the call", async () => undefined, 7],
    ["a part is gone", () => Promise.reject(new ClientError("not-found", "Agent agt-1 does not exist")), 7],
    ["the server leaves something out", async () => create(ResolveRunResponseSchema, { execution, session }), 7],
    ["the server knows no fences", () => Promise.reject(unasked), 0],
  ])("asks for each part where %s", async (_, resolveRun, fence) => {
    const { chain, asked } = await find(resolveRun, fence);
    expect(chain).toEqual({ session, instance, agent, context: undefined });
    expect(asked.toSorted()).toEqual(["agent", "execution", "instance", "session"]);
  });

  it("asks nothing more of a server that is away", async () => {
    const away = new ClientError("unavailable", "connection refused");
    await expect(find(() => Promise.reject(away))).rejects.toBe(away);
  });

  it("leaves what is missing to the run", async () => {
    const orphan = create(AgentExecutionSchema, { metadata: { id: "aex-1" } });
    const options = { runner: { resolveRun: async () => undefined }, clients: clients(unasked), fence: 7 };
    const found = await findRun(orphan, options);
    await expect(found.chain).rejects.toThrow("Session ID is required for execution aex-1");
  });
});

describe("resolveRun", () => {
  const found = { execution, chain: Promise.resolve({ session, instance, agent, context: undefined }) };

  it("names the field of what is missing", async () => {
    const error = await resolveRun(clients(new ClientError("not-found", 'skill "one": no such skill')), found).catch(
      (caught: unknown) => caught,
    );
    expect(RunError.is(error) && error.message).toBe('spec.skill_refs[0]: skill "one": no such skill');
  });

  it("does not blame a field for a server that is away", async () => {
    const away = new ClientError("unavailable", 'skill "one": connection refused');
    await expect(resolveRun(clients(away), found)).rejects.toBe(away);
  });
});
