// Clients and runners that know nothing but the contract as it was before us, in the sequences that they are known to make.
import { createHash, randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Answer, at, type Caller, CallFailure, idOf } from "./caller.ts";
import { openGrpcJs } from "./clients/grpc-js.ts";
import { olderContract } from "./contract.ts";
import { agentOf, EXECUTION_QUERIES, EXECUTIONS, openWorld, PKG, resource, type World } from "./world.ts";
import { skillZip, zip } from "./zip.ts";

const AGENTS = `${PKG}.agent.v1.Agent`;
const SKILLS = `${PKG}.skill.v1.Skill`;
const inLocal = { scope: "organization", org: "local" };

let world: World;
let older: Caller;
beforeEach(async () => {
  world = await openWorld();
  older = openGrpcJs({ ...world, methods: olderContract });
});
afterEach(async () => {
  older.close();
  await world[Symbol.asyncDispose]();
});

it("knows a smaller contract", () => {
  expect(olderContract.size).toBe(63);
  expect(olderContract.has(`${EXECUTION_QUERIES}/watch`)).toBe(false);
});

type Stream = AsyncGenerator<Answer, void, void>;

async function next(stream: Stream): Promise<Answer> {
  const { value } = await stream.next();
  if (!value) throw new Error("The stream has ended.");
  return value;
}

const statusOf = (run: Answer): Record<string, unknown> => run["status"] as Record<string, unknown>;
const tell = (id: string, status: object): Promise<Answer> =>
  older.call(`${EXECUTIONS}/updateStatus`, { executionId: id, status });

/** As the older command line starts a run. */
async function startRun(message = "Hello"): Promise<string> {
  await older.call(`${AGENTS}CommandController/apply`, agentOf("Helper"));
  const agent = await older.call(`${AGENTS}QueryController/getByReference`, { ...inLocal, slug: "helper" });
  const run = await older.call(
    `${EXECUTIONS}/create`,
    resource("AgentExecution", "run", { agentId: idOf(agent), message }),
  );
  return idOf(run);
}

describe("the command line", () => {
  it("finds an agent, starts a run, and is shown all of it until it ends", async () => {
    const id = await startRun();
    const stream = older.stream(`${EXECUTION_QUERIES}/subscribe`, { value: id });
    expect(await next(stream)).toMatchObject({ metadata: { id }, status: { phase: "EXECUTION_PENDING" } });
    const seen: Answer[] = [];
    await tell(id, { phase: "EXECUTION_IN_PROGRESS", startedAt: "2026-01-01T00:00:00Z" });
    seen.push(await next(stream));
    for (const content of ["One", "One two", "One two three"]) {
      await tell(id, { messages: [{ type: "MESSAGE_AI", content }] });
      seen.push(await next(stream));
    }
    // Whole executions, in order.
    expect(
      seen.map((run) => (statusOf(run)["messages"] as { content: string }[] | undefined)?.at(-1)?.content ?? ""),
    ).toEqual(["", "One", "One two", "One two three"]);
    for (const run of seen)
      expect(run).toMatchObject({ spec: { message: "Hello" }, status: { startedAt: "2026-01-01T00:00:00Z" } });
    await tell(id, { phase: "EXECUTION_COMPLETED", completedAt: "2026-01-01T00:01:00Z" });
    const rest = await Array.fromAsync(stream);
    expect(rest.at(-1)).toMatchObject({
      status: { phase: "EXECUTION_COMPLETED", messages: [{ content: "One two three" }] },
    });
  });

  it("is shown a run that has ended already, once, and the stream ends well", async () => {
    const id = await startRun();
    await tell(id, { phase: "EXECUTION_FAILED", error: "no luck" });
    const seen = await Array.fromAsync(older.stream(`${EXECUTION_QUERIES}/subscribe`, { value: id }));
    expect(seen.map(statusOf)).toMatchObject([{ phase: "EXECUTION_FAILED", error: "no luck" }]);
  });

  it("is told what there is not", async () => {
    await expect(
      older.call(`${AGENTS}QueryController/getByReference`, { ...inLocal, slug: "none" }),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(next(older.stream(`${EXECUTION_QUERIES}/subscribe`, { value: "aex-none" }))).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  });
});

describe("a runner", () => {
  it("reads all that a run is made of", async () => {
    const bytes = skillZip("adding");
    await older.call(`${SKILLS}CommandController/push`, {
      ...inLocal,
      name: "adding",
      artifact: bytes.toString("base64"),
    });
    await older.call(
      `${PKG}.environment.v1.EnvironmentCommandController/apply`,
      resource("Environment", "Town", { data: { CITY: { value: "Kiel" } } }),
    );
    const skillRefs = [{ ...inLocal, kind: "skill", slug: "adding" }];
    const made = await older.call(`${AGENTS}CommandController/apply`, agentOf("Helper", { skillRefs }));
    const instance = await older.call(
      `${PKG}.agentinstance.v1.AgentInstanceCommandController/create`,
      resource("AgentInstance", "helper in town", {
        agentId: idOf(made),
        // Older clients number the kind of environments as that of workflow executions.
        environmentRefs: [{ ...inLocal, kind: "workflow_execution", slug: "town" }],
      }),
    );
    const talk = await older.call(
      `${PKG}.session.v1.SessionCommandController/create`,
      resource("Session", "talk", { agentInstanceId: idOf(instance) }),
    );
    const run = await older.call(
      `${EXECUTIONS}/create`,
      resource("AgentExecution", "run", { sessionId: idOf(talk), message: "Hello" }),
    );

    const session = await older.call(`${PKG}.session.v1.SessionQueryController/get`, {
      value: at(run, "spec.sessionId"),
    });
    const ofInstance = await older.call(`${PKG}.agentinstance.v1.AgentInstanceQueryController/get`, {
      value: at(session, "spec.agentInstanceId"),
    });
    const { spec } = (await older.call(`${AGENTS}QueryController/get`, { value: at(ofInstance, "spec.agentId") })) as {
      spec: { skillRefs: object[] };
    };
    const skill = await older.call(`${SKILLS}QueryController/getByReference`, spec.skillRefs[0] ?? {});
    const { artifact } = await older.call(`${SKILLS}QueryController/getArtifact`, {
      artifactStorageKey: at(skill, "status.artifactStorageKey"),
    });
    expect(Buffer.from(String(artifact), "base64").equals(bytes)).toBe(true);
    const { spec: ofIt } = ofInstance as { spec: { environmentRefs: object[] } };
    expect(ofIt.environmentRefs).toMatchObject([{ kind: "environment", slug: "town" }]);
    for (const reference of [...ofIt.environmentRefs, { ...inLocal, kind: "workflow_execution", slug: "town" }]) {
      expect(
        await older.call(`${PKG}.environment.v1.EnvironmentQueryController/getByReference`, reference),
      ).toMatchObject({ spec: { data: { CITY: { value: "Kiel" } } } });
    }
  });

  it("reports whole statuses, which are merged", async () => {
    const id = await startRun();
    await tell(id, {
      phase: "EXECUTION_IN_PROGRESS",
      startedAt: "t1",
      messages: [{ type: "MESSAGE_HUMAN", content: "Hello" }],
      toolCalls: [{ id: "c1", name: "ls", status: "TOOL_CALL_RUNNING" }],
      subAgentExecutions: [{ id: "s1", name: "reader", status: "SUB_AGENT_IN_PROGRESS" }],
      todos: { a: { id: "a", content: "first", status: "TODO_PENDING" }, b: { id: "b", content: "second" } },
    });
    // What is empty or zero says nothing.
    expect(await tell(id, {})).toMatchObject({
      status: {
        phase: "EXECUTION_IN_PROGRESS",
        startedAt: "t1",
        messages: [{ content: "Hello" }],
        toolCalls: [{ id: "c1" }],
        subAgentExecutions: [{ id: "s1" }],
      },
    });
    // What is not empty replaces its list; todos are replaced one by one.
    const merged = statusOf(
      await tell(id, {
        messages: [{ type: "MESSAGE_AI", content: "Hi" }],
        toolCalls: [{ id: "c2", name: "cat", status: "TOOL_CALL_FAILED", error: "no file" }],
        subAgentExecutions: [{ id: "s2", name: "writer", status: "SUB_AGENT_COMPLETED", output: "done" }],
        todos: { a: { id: "a", content: "first", status: "TODO_COMPLETED" }, c: { id: "c", content: "third" } },
        error: "so far",
      }),
    );
    expect(merged).toMatchObject({
      phase: "EXECUTION_IN_PROGRESS",
      startedAt: "t1",
      error: "so far",
      messages: [{ type: "MESSAGE_AI", content: "Hi" }],
      toolCalls: [{ id: "c2", status: "TOOL_CALL_FAILED" }],
      subAgentExecutions: [{ id: "s2", output: "done" }],
      todos: { a: { status: "TODO_COMPLETED" }, b: { content: "second" }, c: { content: "third" } },
    });
    for (const list of ["messages", "toolCalls", "subAgentExecutions"]) expect(merged[list]).toHaveLength(1);
    expect(Object.keys(merged["todos"] as object).sort()).toEqual(["a", "b", "c"]);
  });

  it.each(["EXECUTION_COMPLETED", "EXECUTION_FAILED", "EXECUTION_CANCELLED"])("never leaves %s", async (phase) => {
    const id = await startRun();
    await tell(id, { phase, completedAt: "t2" });
    // Refused or ignored: a runner that is late must not find that it changed anything.
    const late = await tell(id, { phase: "EXECUTION_IN_PROGRESS" }).catch((error: unknown) => error);
    expect(late instanceof CallFailure ? late.code : statusOf(late as Answer)["phase"]).toMatch(
      new RegExp(`^(FAILED_PRECONDITION|${phase})$`),
    );
    expect(await older.call(`${EXECUTION_QUERIES}/get`, { value: id })).toMatchObject({
      status: { phase, completedAt: "t2" },
    });
  });

  it("reports a long run many times, with all of it each time", async () => {
    const id = await startRun();
    const messages: object[] = [];
    for (let step = 0; step < 60; step++) {
      messages.push({ type: "MESSAGE_AI", content: `${step} ${"word ".repeat(200)}` });
      await tell(id, { phase: "EXECUTION_IN_PROGRESS", messages });
    }
    const stored = statusOf(await older.call(`${EXECUTION_QUERIES}/get`, { value: id }));
    expect(stored["messages"]).toMatchObject(messages);
  });
});

describe("a push of a skill", () => {
  const push = (artifact: Buffer, more: object = {}): Promise<Answer> =>
    older.call(`${SKILLS}CommandController/push`, {
      ...inLocal,
      name: "adding",
      artifact: artifact.toString("base64"),
      ...more,
    });
  const find = (version: string): Promise<Answer> =>
    older.call(`${SKILLS}QueryController/getByReference`, { ...inLocal, kind: "skill", slug: "adding", version });
  const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

  it("is known by its hash, its tag, and as the latest", async () => {
    const [first, second] = [
      skillZip("adding"),
      skillZip("adding", [{ name: "data.bin", data: randomBytes(100_000) }]),
    ];
    expect(await push(first, { tag: "stable" })).toMatchObject({ status: { versionHash: hashOf(first) } });
    await push(second, { tag: "beta" });
    for (const [version, bytes] of [
      ["", second],
      ["latest", second],
      ["beta", second],
      ["stable", first],
      [hashOf(first), first],
    ] as const) {
      expect([version, at(await find(version), "status.versionHash")]).toEqual([version, hashOf(bytes)]);
    }
    await push(first, { tag: "beta" });
    expect(at(await find("beta"), "status.versionHash")).toBe(hashOf(first));
    expect(at(await find(""), "status.versionHash")).toBe(hashOf(first));
  });

  it.each<[string, () => Buffer, string, RegExp]>([
    [
      "files of more than 100 times their archive",
      () => skillZip("adding", [{ name: "zeros", data: Buffer.alloc(30 * 1024 * 1024), deflate: true }]),
      "RESOURCE_EXHAUSTED",
      /100/,
    ],
    [
      "more than 10,000 files",
      () =>
        skillZip(
          "adding",
          Array.from({ length: 10_000 }, (_, index) => ({ name: `f${index}`, data: "" })),
        ),
      "RESOURCE_EXHAUSTED",
      /10000|10,000/,
    ],
    [
      "a SKILL.md of more than 1 MB",
      () => zip([{ name: "SKILL.md", data: `---\nname: adding\ndescription: d\n---\n${"a".repeat(1024 * 1024)}` }]),
      "RESOURCE_EXHAUSTED",
      /SKILL\.md/,
    ],
    ["an archive without SKILL.md", () => zip([{ name: "skill.md", data: "no" }]), "INVALID_ARGUMENT", /SKILL\.md/],
    ["no archive", () => randomBytes(100), "INVALID_ARGUMENT", /zip/],
  ])("is refused with %s", async (_what, make, code, message) => {
    const refusal = await push(make()).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code });
    expect((refusal as Error).message).toMatch(message);
  });
});

describe("what an older client does not know", () => {
  it("does not keep it from reading the rest", async () => {
    const { id, fence } = await world.leased();
    const changes = [
      { run: { phase: "EXECUTION_IN_PROGRESS", startedAt: "t1" } },
      { messageStarted: { messageId: "m1", type: "MESSAGE_AI" } },
      { textAppended: { messageId: "m1", kind: "TEXT_KIND_REASONING", text: "hm" } },
      { textAppended: { messageId: "m1", kind: "TEXT_KIND_CONTENT", text: "Hello" } },
      { toolCall: { messageId: "m1", call: { id: "c1", name: "ls", status: "TOOL_CALL_OUTCOME_UNKNOWN" } } },
      { usage: { inputTokens: 7, modelCalls: 1 } },
    ];
    await world.own.call(`${EXECUTIONS}/patchStatus`, { executionId: id, fence, sequence: 1, delta: { changes } });
    const whole = statusOf(await world.own.call(`${EXECUTION_QUERIES}/get`, { value: id }));
    expect(whole).toMatchObject({ usage: { inputTokens: 7 }, revision: expect.any(Number) as number });
    const stream = older.stream(`${EXECUTION_QUERIES}/subscribe`, { value: id });
    const known = statusOf(await next(stream));
    await stream.return();
    expect(known).toMatchObject({ phase: "EXECUTION_IN_PROGRESS", startedAt: "t1" });
    expect((known["messages"] as Answer[]).at(-1)).toMatchObject({
      content: "Hello",
      // An enum's value that it has no name for stays a number.
      toolCalls: [{ id: "c1", name: "ls", status: 101 }],
    });
    expect(known).not.toHaveProperty("usage");
  });

  it.each([
    ["pause", 7],
    ["cancel", "EXECUTION_CANCELLED"],
  ] as const)("phases after a %s are numbers or known", async (order, phase) => {
    const id = await startRun();
    await world.own.call(`${EXECUTIONS}/${order}`, { executionId: id });
    const run = await older.call(`${EXECUTION_QUERIES}/get`, { value: id });
    expect(statusOf(run)["phase"]).toBe(phase);
  });

  it("survives its writing back what it has read", async () => {
    const made = await world.own.call(`${PKG}.session.v1.SessionCommandController/create`, {
      ...resource("Session", "talk", {
        agentInstanceId: at(await world.agent(), "status.defaultInstanceId"),
        subject: "before",
      }),
    });
    const read = (await older.call(`${PKG}.session.v1.SessionQueryController/get`, { value: idOf(made) })) as {
      spec: object;
    };
    const written = await older.call(`${PKG}.session.v1.SessionCommandController/update`, {
      ...read,
      spec: { ...read.spec, subject: "after" },
    });
    expect(written).toMatchObject({ metadata: { id: idOf(made) }, spec: { subject: "after" } });
  });
});
