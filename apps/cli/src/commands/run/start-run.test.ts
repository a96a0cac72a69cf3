import { create } from "@bufbuild/protobuf";
import type { StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { expect, test } from "vitest";
import { prepareRun } from "./start-run.ts";

test("no run is begun on a server that drops the kind of sandbox of its session", async () => {
  const agent = create(AgentSchema, { metadata: { id: "agt-1" }, status: { defaultInstanceId: "ain-1" } });
  const older = {
    agents: { getByReference: async () => agent },
    sessions: {
      create: async ({ metadata, spec }: Session) =>
        create(SessionSchema, { metadata, spec: { agentInstanceId: spec?.agentInstanceId } }),
    },
  } as unknown as StigmerClient;
  const asked = { agent: "worker", message: "Hi" };
  await expect(prepareRun(older, { ...asked, sandbox: "isolated" })).rejects.toThrow(
    "--sandbox isolated can't be used: the server is too old",
  );
  expect((await prepareRun(older, { ...asked, workspaceDir: "/w" })).spec?.sessionId).toMatch(/^ses-/);
});
