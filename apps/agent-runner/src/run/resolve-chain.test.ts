import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { ClientError, type ResourceClients } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { describe, expect, it } from "vitest";
import { resolveRun } from "./resolve-chain.ts";
import { RunError } from "./run-error.ts";

const execution = create(AgentExecutionSchema, { metadata: { id: "aex-1" }, spec: { sessionId: "ses-1" } });

/** A server whose skills fail in a given way. */
function clients(failure: ClientError): ResourceClients {
  return {
    sessions: { get: async () => create(SessionSchema, { spec: { agentInstanceId: "ain-1" } }) },
    agentInstances: { get: async () => create(AgentInstanceSchema, { spec: { agentId: "agt-1" } }) },
    agents: { get: async () => create(AgentSchema, { spec: { skillRefs: [{ slug: "one" }] } }) },
    skills: { getByReference: () => Promise.reject(failure) },
    // One that knows no contexts.
    transport: createRouterTransport(() => {}),
  } as unknown as ResourceClients;
}

describe("resolveRun", () => {
  it("needs a session", async () => {
    const orphan = create(AgentExecutionSchema, { metadata: { id: "aex-1" } });
    const resolved = resolveRun(clients(new ClientError("internal", "not asked")), orphan);
    await expect(resolved).rejects.toThrow("Session ID is required for execution aex-1");
  });

  it("names the field of what is missing", async () => {
    const error = await resolveRun(
      clients(new ClientError("not-found", 'skill "one": no such skill')),
      execution,
    ).catch((caught: unknown) => caught);
    expect(RunError.is(error) && error.message).toBe('spec.skill_refs[0]: skill "one": no such skill');
  });

  it("does not blame a field for a server that is away", async () => {
    const away = new ClientError("unavailable", 'skill "one": connection refused');
    await expect(resolveRun(clients(away), execution)).rejects.toBe(away);
  });
});
