import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { deltaOf, moved, said } from "../executions/__fixtures__/open-runs.ts";
import { SECRET_MASK } from "../secrets/secrets.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_PAUSED } = ExecutionPhase;
const MISSING = "aex-01m7yp6m06v3nf22f78h88f1ad";

let server: TestServer;
let id: string;
beforeEach(async () => {
  server = await openTestServer();
  id = await start();
});
afterEach(() => server.dispose());

async function start(): Promise<string> {
  const agent = await server.agents.apply(given.agent("a"));
  const runtimeEnv = { TOKEN: { value: "canary", isSecret: true } };
  const run = await server.executions.create(given.execution({ agentId: agent.metadata?.id, runtimeEnv }));
  return run.metadata?.id ?? "";
}

const patch = inSequence((sent) => server.executions.patchStatus(sent));
async function tell(fence: number, ...changes: Parameters<typeof deltaOf>): Promise<void> {
  await patch({ executionId: id, fence, delta: deltaOf(...changes) });
}

/** A runner works on it. */
async function begin(): Promise<number> {
  const { fence } = await server.lease();
  await tell(fence, ...moved(EXECUTION_IN_PROGRESS, { startedAt: "t0" }));
  return fence;
}

const handBack = (fence: number, pauseReason?: string): Promise<boolean> =>
  server.queue.release({ taskId: id, fence }, { runnerId: "r1", counted: false, availableAt: 0, pauseReason });

const phase = async (): Promise<number | undefined> => (await server.executions.get({ value: id })).status?.phase;

async function inbox(): Promise<string[]> {
  const items = await server.store.queue.inbox(id, { seen: 0 });
  return items.map(({ payload }) => {
    const item = fromBinary(InboxItemSchema, payload);
    return `${item.id}: ${item.item.case === "message" ? item.item.value.text : "?"}`;
  });
}

describe("pause and resume", () => {
  it("keeps a run that waits from runners until it is resumed, over a restart", async () => {
    const paused = await server.executions.pause({ executionId: id, reason: "lunch" });
    expect(paused.status?.phase).toBe(EXECUTION_PAUSED);
    server = await server.restart();
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    const resumed = await server.executions.resume({ executionId: id });
    expect(resumed.status?.phase).toBe(EXECUTION_PENDING);
    expect((await server.executions.resume({ executionId: id })).status).toMatchObject({
      phase: EXECUTION_PENDING,
      revision: resumed.status?.revision,
    });
    expect(await server.lease()).toMatchObject({ id });
  });

  it("leaves the phase of a run under way to its runner", async () => {
    const fence = await begin();
    const asked = await server.executions.pause({ executionId: id });
    expect(asked.status?.phase).toBe(EXECUTION_IN_PROGRESS);
    expect(server.asked.at(-1)).toBe(`pause ${id} Paused on request.`);
    await tell(fence, ...moved(EXECUTION_PAUSED));
    await handBack(fence);
    expect(await phase()).toBe(EXECUTION_PAUSED);
    expect((await server.executions.resume({ executionId: id })).status?.phase).toBe(EXECUTION_IN_PROGRESS);
    expect(await server.lease()).toMatchObject({ id, fence: fence + 1 });
  });

  it("resumes a run that paused by itself, also between its rest and its runner's letting go", async () => {
    const fence = await begin();
    await tell(fence, ...moved(EXECUTION_PAUSED));
    const resumed = server.executions.resume({ executionId: id });
    await vi.waitUntil(() => server.asked.includes(`resume ${id}`), { timeout: 10_000, interval: 1 });
    await handBack(fence, "an effect is unknown");
    expect((await resumed).status?.phase).toBe(EXECUTION_IN_PROGRESS);
    expect(await server.lease()).toMatchObject({ id, fence: fence + 1 });
  });

  it("says a resume once to a run that goes on", async () => {
    const fence = await begin();
    const resumes = (): number => server.asked.filter((asked) => asked.startsWith("resume")).length;
    await server.executions.resume({ executionId: id });
    expect(resumes()).toBe(1);
    await tell(fence, ...moved(EXECUTION_PAUSED));
    const resume = server.queue.resume.bind(server.queue);
    vi.spyOn(server.queue, "resume").mockImplementationOnce(async (taskId) => {
      const state = await resume(taskId);
      // It goes on, and comes to rest once more: that is for a person to look at.
      await tell(fence, ...moved(EXECUTION_IN_PROGRESS));
      await tell(fence, ...moved(EXECUTION_PAUSED));
      return state;
    });
    const { status } = await server.executions.resume({ executionId: id });
    expect(status?.phase).toBe(EXECUTION_PAUSED);
    expect(resumes()).toBe(2);
  });

  it("lets a paused run be cancelled, changed before it began, and deleted", async () => {
    await server.executions.pause({ executionId: id });
    const agentId = (await server.executions.get({ value: id })).spec?.agentId;
    const changed = await server.executions.update(given.execution({ agentId, message: "Other" }, { id }));
    expect(changed).toMatchObject({ spec: { message: "Other" }, status: { phase: EXECUTION_PAUSED } });
    await server.executions.cancel({ executionId: id, reason: "enough" });
    expect(server.asked.at(-1)).toBe(`cancel ${id} enough`);
    await server.executions.delete({ value: id });
    await expect(server.executions.resume({ executionId: id })).rejects.toMatchObject({ code: Code.NotFound });
  });
});

describe("a message", () => {
  it("waits for the run in the order in which it was sent, once for each id, over a restart", async () => {
    await server.executions.sendMessage({ executionId: id, messageId: "m1", text: "one" });
    await server.executions.sendMessage({ executionId: id, messageId: "m2", text: "two" });
    await server.executions.sendMessage({ executionId: id, messageId: "m1", text: "another one" });
    server = await server.restart();
    expect(await inbox()).toEqual(["m1: one", "m2: two"]);
    await begin();
    await server.executions.sendMessage({ executionId: id, messageId: "m3", text: "three" });
    expect(await inbox()).toEqual(["m1: one", "m2: two", "m3: three"]);
  });

  it("gets an id when it has none, another each time", async () => {
    await server.executions.sendMessage({ executionId: id, text: "one" });
    await server.executions.sendMessage({ executionId: id, text: "one" });
    const [first = "", second = ""] = await inbox();
    expect(first).toMatch(/^[0-9a-z]{26}: one$/);
    expect(second).toMatch(/^[0-9a-z]{26}: one$/);
    expect(first).not.toBe(second);
  });

  it("leaves a paused run paused", async () => {
    await server.executions.pause({ executionId: id });
    const run = await server.executions.sendMessage({ executionId: id, text: "still there?" });
    expect(run.status?.phase).toBe(EXECUTION_PAUSED);
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
  });

  it("was in time when the run heard it before its end, also when it is sent again", async () => {
    const fence = await begin();
    await server.executions.sendMessage({ executionId: id, messageId: "m1", text: "one" });
    await tell(fence, ...said(`${id}/m1`, "one"), ...moved(ExecutionPhase.EXECUTION_COMPLETED));
    const again = await server.executions.sendMessage({ executionId: id, messageId: "m1", text: "one" });
    expect(again.status?.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    await expect(
      server.executions.sendMessage({ executionId: id, messageId: "m2", text: "two" }),
    ).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `${id} has ended (completed): start another run in its session`,
    });
  });

  it("is refused when the run ended while it was under way", async () => {
    const fence = await begin();
    const deliver = server.queue.deliver.bind(server.queue);
    vi.spyOn(server.queue, "deliver").mockImplementationOnce(async (...given) => {
      const state = await deliver(...given);
      await tell(fence, ...moved(ExecutionPhase.EXECUTION_COMPLETED));
      return state;
    });
    await expect(server.executions.sendMessage({ executionId: id, text: "late" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
  });
});

describe("each of them", () => {
  const orders = () => [
    { ask: () => server.executions.pause({ executionId: id }), advice: "it can't be paused any more" },
    { ask: () => server.executions.resume({ executionId: id }), advice: "it can't go on any more" },
    {
      ask: () => server.executions.sendMessage({ executionId: id, text: "x" }),
      advice: "start another run in its session",
    },
  ];

  it("is refused by a run that has ended, and reaches no engine", async () => {
    await server.runs.fail(id, "no");
    const asked = [...server.asked];
    for (const { ask, advice } of orders()) {
      await expect(ask()).rejects.toMatchObject({
        code: Code.FailedPrecondition,
        rawMessage: `${id} has ended (failed): ${advice}`,
      });
    }
    expect(server.asked).toEqual(asked);
    expect(await server.executions.get({ value: id })).toMatchObject({
      status: { phase: ExecutionPhase.EXECUTION_FAILED, revision: 2 },
    });
  });

  it("is refused by a run whose task ended while it was asked, and changes nothing", async () => {
    await server.store.queue.end(id);
    for (const { ask, advice } of orders()) {
      await expect(ask()).rejects.toMatchObject({
        code: Code.FailedPrecondition,
        rawMessage: `${id} is about to end: ${advice}`,
      });
    }
    expect(await phase()).toBe(EXECUTION_PENDING);
    expect(await inbox()).toEqual([]);
  });

  it("names a run that does not exist, and shows no other organisation's", async () => {
    await server.dispose();
    server = await openTestServer({ mode: "cloud" });
    const agent = await server.agents.create(given.agent("a"));
    id = (await server.executions.create(given.execution({ agentId: agent.metadata?.id }))).metadata?.id ?? "";
    for (const headers of [{ "x-org": "local" }, { "x-org": "stranger" }]) {
      const executionId = headers["x-org"] === "local" ? MISSING : id;
      const refused = { code: Code.NotFound };
      await expect(server.executions.pause({ executionId }, { headers })).rejects.toMatchObject(refused);
      await expect(server.executions.resume({ executionId }, { headers })).rejects.toMatchObject(refused);
      const said = server.executions.sendMessage({ executionId, text: "x" }, { headers });
      await expect(said).rejects.toMatchObject(refused);
    }
    expect(await phase()).toBe(EXECUTION_PENDING);
  });

  it("answers with secrets masked", async () => {
    const runs = [
      await server.executions.pause({ executionId: id }),
      await server.executions.sendMessage({ executionId: id, text: "x" }),
      await server.executions.resume({ executionId: id }),
    ];
    expect(runs.map(({ spec }) => spec?.runtimeEnv["TOKEN"]?.value)).toEqual([SECRET_MASK, SECRET_MASK, SECRET_MASK]);
  });

  it("is held to the contract's rules", async () => {
    const invalid = { code: Code.InvalidArgument };
    await expect(server.executions.sendMessage({ executionId: id, text: "" })).rejects.toMatchObject(invalid);
    const messageId = "x".repeat(129);
    await expect(server.executions.sendMessage({ executionId: id, messageId, text: "x" })).rejects.toMatchObject(
      invalid,
    );
    await expect(server.executions.pause({ executionId: "" })).rejects.toMatchObject(invalid);
  });
});
