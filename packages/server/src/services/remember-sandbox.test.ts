import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type RememberSandboxRequest, RememberSandboxRequestSchema, type RunAnswer } from "@stigmer/protos/runner/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { deltaOf, moved } from "../executions/__fixtures__/open-runs.ts";
import { StoreError } from "../store/errors.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const MADE = Date.parse("2026-01-02T03:04:05.678Z");
const LATER = MADE + 60_000;

let server: TestServer;
let now: number;
afterEach(() => server.dispose());

interface Held {
  readonly executionId: string;
  readonly sessionId: string;
  readonly fence: number;
}

async function* onlyOf(value: RememberSandboxRequest): AsyncGenerator<{ number: number; entry: object }> {
  yield { number: 7, entry: { case: "remember", value } };
}

describe.each(["local", "cloud"] as const)("the sandbox of a run's session, in %s mode", (mode) => {
  const org = mode === "local" ? "local" : "acme";
  const owner = { headers: { "x-org": org } };
  const runner = {
    headers: mode === "local" ? owner.headers : { "x-role": "runner", "x-user": "runner", "x-org": "" },
  };

  async function open(): Promise<Held> {
    now = MADE;
    server = await openTestServer({ mode, clock: () => now });
    const held = await hold();
    now = LATER;
    return held;
  }

  /** A run in the hands of a runner, in a session of its own. */
  async function hold(name = "s"): Promise<Held> {
    const agent = await server.agents.create(given.agent(name), owner);
    const made = { approvalRules: [{ tools: ["execute"], action: 1 }], subject: "about" };
    const session = await server.sessions.create(
      given.session(name, agent.status?.defaultInstanceId ?? "", made),
      owner,
    );
    const sessionId = session.metadata?.id ?? "";
    await server.executions.create(given.execution({ sessionId }), owner);
    const { id: executionId, fence } = await server.lease();
    return { executionId, sessionId, fence };
  }

  const read = (sessionId: string): Promise<Session> => server.sessions.get({ value: sessionId }, owner);

  async function change(sessionId: string, spec: object): Promise<Session> {
    const stored = await read(sessionId);
    return server.sessions.update({ ...stored, spec: { ...stored.spec, ...spec } as never }, owner);
  }

  /** What the run's session has after the entry. */
  async function remember(held: Held, sandboxId: string, previousSandboxId = ""): Promise<string> {
    const { executionId, fence } = held;
    const request = create(RememberSandboxRequestSchema, { executionId, fence, sandboxId, previousSandboxId });
    const [said] = await Array.fromAsync(server.runner.recordRun(onlyOf(request) as never, runner));
    const answer: RunAnswer["answer"] | undefined = said?.answer;
    if (answer?.case === "refused") throw new ConnectError(answer.value.message, answer.value.code);
    if (answer?.case !== "remembered") throw new Error(`It was answered ${answer?.case}.`);
    return answer.value.sandboxId;
  }

  it("is stored as by an update of the session, and nothing else of it is touched", async () => {
    const held = await open();
    const before = await read(held.sessionId);
    expect(await remember(held, "docker:one")).toBe("docker:one");
    const after = await read(held.sessionId);
    expect(after.spec).toEqual({ ...before.spec, sandboxId: "docker:one" });
    expect(after.metadata).toEqual({ ...before.metadata, version: after.metadata?.version });
    expect(after.metadata?.version).toMatchObject({ previousVersionId: before.metadata?.version?.id });
    expect(after.metadata?.version?.id).not.toBe(before.metadata?.version?.id);
    expect(after.status?.audit?.specAudit).toMatchObject({
      createdBy: before.status?.audit?.specAudit?.createdBy,
      updatedBy: { id: mode === "local" ? "user of local" : "runner" },
      updatedAt: { seconds: BigInt(Math.floor(LATER / 1_000)) },
      event: "updated",
    });
    // Who had read the session before, has to read it again.
    await expect(server.sessions.update(before, owner)).rejects.toMatchObject({ code: Code.Aborted });
  });

  it("takes the place of the one that was there, of none, and of none other", async () => {
    const held = await open();
    expect(await remember(held, "docker:one")).toBe("docker:one");
    expect(await remember(held, "docker:two", "docker:one")).toBe("docker:two");
    const { metadata } = await read(held.sessionId);
    expect(await remember(held, "docker:three", "docker:one")).toBe("docker:two");
    expect(await remember(held, "docker:three")).toBe("docker:two");
    // An answer that was lost, and asked for again.
    expect(await remember(held, "docker:two", "docker:one")).toBe("docker:two");
    expect(await remember(held, "docker:two", "docker:two")).toBe("docker:two");
    expect((await read(held.sessionId)).metadata).toEqual(metadata);
    server = await server.restart();
    expect((await read(held.sessionId)).spec?.sandboxId).toBe("docker:two");
  });

  it("is stored where the session has lost the one that the runner has seen", async () => {
    const held = await open();
    expect(await remember(held, "docker:two", "docker:one")).toBe("docker:two");
  });

  it("is one, when many tell theirs at once", async () => {
    const held = await open();
    const names = Array.from({ length: 8 }, (_, index) => `docker:${index}`);
    const answers = await Promise.all(names.map((name) => remember(held, name)));
    expect(new Set(answers)).toEqual(new Set([(await read(held.sessionId)).spec?.sandboxId]));
  });

  it("goes beside what others change of the session at the same moment", async () => {
    const held = await open();
    let races = 0;
    const { transaction } = server.store;
    vi.spyOn(server.store, "transaction").mockImplementation((work) =>
      transaction((tx) =>
        work({
          ...tx,
          resources: {
            ...tx.resources,
            replace: async (record, version) => {
              races += 1;
              if (races === 1) throw new StoreError("conflict", "Somebody was faster.");
              await tx.resources.replace(record, version);
            },
          },
        }),
      ),
    );
    expect(await remember(held, "docker:one")).toBe("docker:one");
    expect(races).toBe(2);
    await change(held.sessionId, { subject: "about else" });
    expect(await remember(held, "docker:two", "docker:one")).toBe("docker:two");
    expect((await read(held.sessionId)).spec).toMatchObject({ subject: "about else", sandboxId: "docker:two" });
  });

  it("is that of the run's own session, whoever else has one", async () => {
    const held = await open();
    const other = await hold("other");
    const untouched = await read(other.sessionId);
    await remember(held, "docker:one");
    expect(await read(other.sessionId)).toEqual(untouched);
    // The other's fence is not this run's.
    await expect(remember({ ...held, fence: other.fence + 1 }, "docker:two", "docker:one")).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    expect((await read(held.sessionId)).spec?.sandboxId).toBe("docker:one");
  });

  it("is refused from who has not the run: with another fence, between two runners, after its end, and of none", async () => {
    const held = await open();
    const { executionId, fence, sessionId } = held;
    const before = await read(sessionId);
    const refused = (message: string) => ({ code: Code.FailedPrecondition, rawMessage: message });
    await server.queue.expire({ now: Number.MAX_SAFE_INTEGER, failure: "silent" });
    await expect(remember(held, "docker:one")).rejects.toMatchObject(
      refused(`fence ${fence} of ${executionId} is not held any more: the run waits for its next runner, stop it`),
    );
    const next = await server.lease();
    await expect(remember(held, "docker:one")).rejects.toMatchObject(
      refused(
        `fence ${fence} of ${executionId} is not current (${next.fence}): another runner has taken over, stop this run`,
      ),
    );
    const missing = { ...held, executionId: "aex-01m7yp6m06v3nf22f78h88f1ad" };
    await expect(remember(missing, "docker:one")).rejects.toMatchObject({ code: Code.NotFound });
    const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_COMPLETED));
    await server.runs.patch({ executionId, fence: next.fence, sequence: 1, delta });
    await expect(remember({ ...held, fence: next.fence }, "docker:one")).rejects.toMatchObject(
      refused(`${executionId} has ended (completed): its status is final`),
    );
    expect(await read(sessionId)).toEqual(before);
  });

  it("is held to the contract's rules, which ends the stream", async () => {
    const held = await open();
    for (const [wrong, sandboxId] of [
      [{ ...held, fence: 0 }, "docker:one"],
      [{ ...held, executionId: "" }, "docker:one"],
      [held, ""],
    ] as const) {
      await expect(remember(wrong, sandboxId)).rejects.toMatchObject({ code: Code.InvalidArgument });
    }
  });

  if (mode === "cloud") {
    it("is no person's to store over the stream", async () => {
      const held = await open();
      const request = create(RememberSandboxRequestSchema, { ...held, sandboxId: "docker:one" });
      const answers = server.runner.recordRun(onlyOf(request) as never, owner);
      await expect(Array.fromAsync(answers)).rejects.toMatchObject({ code: Code.PermissionDenied });
    });
  }
});
