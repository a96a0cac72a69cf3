import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type BeginToolCallResponse,
  type RunAnswer,
  type RunEntrySchema,
  ToolCallClass,
  type ToolCallEntrySchema,
} from "@stigmer/protos/runner/v1";
import { ExecutionPhase, type StatusDelta } from "@stigmer/protos/agentexecution/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { deltaOf, moved } from "../executions/__fixtures__/open-runs.ts";
import { shuttingDown } from "../executions/closing.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const QUEUE = "agent_execution_runner";
const MISSING = "aex-01m7yp6m06v3nf22f78h88f1ad";
const AT = Date.parse("2026-01-02T03:04:05.678Z");
const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

let server: TestServer;
let executionId: string;
let fence: number;
beforeEach(async () => {
  server = await openTestServer({ clock: () => AT });
  const agent = await server.agents.create(given.agent("a"));
  const run = await server.executions.create(given.execution({ agentId: agent.metadata?.id }));
  executionId = run.metadata?.id ?? "";
  ({ fence } = await server.lease());
  requests = 0;
});
afterEach(() => server.dispose());

let requests = 0;
interface Begin {
  readonly fence?: number;
  readonly callKey?: string;
  readonly toolClass?: ToolCallClass;
  readonly requestId?: string;
  readonly executionId?: string;
}
/** How the server is told: by a call for each entry, by a stream of the ledger's, or by one of all that a run has to say. */
let way: "calls" | "stream" | "run stream" = "calls";

/** Answers the outcome by its name, a result or time after it. */
async function begin(change: Begin = {}): Promise<readonly unknown[]> {
  const request = {
    executionId,
    fence,
    callKey: "m1/c1",
    toolName: "execute",
    toolClass: ToolCallClass.ONCE,
    requestId: `q${++requests}`,
    ...change,
  };
  const { outcome } =
    way === "calls" ? await server.runner.beginToolCall(request) : await streamed({ case: "begin", value: request });
  if (outcome.case === "recorded") return [outcome.case, outcome.value.result];
  return outcome.case === "unknown" ? [outcome.case, outcome.value.begunAt] : [outcome.case];
}

async function finish(result: Uint8Array, change: { fence?: number; callKey?: string } = {}): Promise<void> {
  const request = { executionId, fence, callKey: "m1/c1", result, ...change };
  if (way === "calls") await server.runner.finishToolCall(request);
  else await streamed({ case: "finish", value: request });
}

type Entry = Exclude<MessageInitShape<typeof ToolCallEntrySchema>["entry"], undefined>;

async function* only(entry: Entry): AsyncGenerator<MessageInitShape<typeof ToolCallEntrySchema>> {
  yield { number: 7, entry };
}

type SaidOfRun = Exclude<MessageInitShape<typeof RunEntrySchema>["entry"], undefined>;

async function* onlyOf(entry: SaidOfRun): AsyncGenerator<MessageInitShape<typeof RunEntrySchema>> {
  yield { number: 7, entry };
}

/** What one entry of a run's stream comes to. */
async function told(entry: SaidOfRun): Promise<RunAnswer["answer"]> {
  const [said, ...more] = await Array.fromAsync(server.runner.recordRun(onlyOf(entry)));
  expect([said?.number, more]).toEqual([7, []]);
  if (said?.answer.case === "refused") throw new ConnectError(said.answer.value.message, said.answer.value.code);
  return said?.answer ?? { case: undefined };
}

function outcomeIn(answer: RunAnswer["answer"], entry: Entry["case"]): Pick<BeginToolCallResponse, "outcome"> {
  expect(answer.case).toBe(entry === "begin" ? "begun" : "finished");
  return answer.case === "begun" ? answer.value : { outcome: { case: undefined } };
}

/** What one entry comes to; of a result nothing is told. */
async function streamed(entry: Entry): Promise<Pick<BeginToolCallResponse, "outcome">> {
  if (way === "run stream") return outcomeIn(await told(entry as SaidOfRun), entry.case);
  const [said, ...more] = await Array.fromAsync(server.runner.recordToolCalls(only(entry)));
  expect(more).toEqual([]);
  expect(said?.number).toBe(7);
  if (said?.answer.case === "refused") throw new ConnectError(said.answer.value.message, said.answer.value.code);
  expect(said?.answer.case).toBe(entry.case === "begin" ? "begun" : "finished");
  return said?.answer.case === "begun" ? said.answer.value : { outcome: { case: undefined } };
}

interface Patch {
  readonly executionId?: string;
  readonly fence: number;
  readonly sequence: number;
  readonly delta: StatusDelta;
}

/** Answers the revision. */
async function patched(sent: Patch): Promise<number> {
  const request = { executionId, ...sent };
  if (way !== "run stream") return (await server.executions.patchStatus(request)).revision;
  const answer = await told({ case: "patch", value: request });
  return answer.case === "patched" ? answer.value.revision : Number.NaN;
}

const patchNext = inSequence(patched);
const patch = (under: number): Promise<unknown> => {
  const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_IN_PROGRESS));
  return patchNext({ executionId, fence: under, delta });
};

const lose = (): Promise<unknown> => server.queue.expire({ now: Number.MAX_SAFE_INTEGER, failure: "silent" });
async function takeOver(): Promise<void> {
  await lose();
  ({ fence } = await server.lease());
}

describe("hello", () => {
  const hello = (protocol: number) => server.runner.hello({ runnerId: "r1", version: "1.2.3", protocol });

  it("introduces the server", async () => {
    expect(await hello(1)).toMatchObject({
      version: "9.8.7",
      protocol: 1,
      oldestProtocol: 1,
      time: "2026-01-02T03:04:05.678Z",
      engine: "embedded",
    });
  });

  it("says which side is too old", async () => {
    await expect(hello(2)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: "runner 1.2.3 speaks protocol 2, server 9.8.7 protocol 1: upgrade the server",
    });
    await expect(hello(0)).rejects.toMatchObject({ code: Code.InvalidArgument });
  });
});

describe.each(["calls", "stream", "run stream"] as const)("tool calls by %s", (theirs) => {
  beforeEach(() => void (way = theirs));
  afterEach(() => void (way = "calls"));

  it("are begun, recorded, and told to the next runner", async () => {
    expect(await begin()).toEqual(["started"]);
    await finish(bytes(1, 2));
    await finish(bytes(3));
    await takeOver();
    expect(await begin()).toEqual(["recorded", bytes(1, 2)]);
  });

  it("that nobody finished are done again only when that does no harm", async () => {
    await begin({ callKey: "read", toolClass: ToolCallClass.REPEATABLE });
    await begin({ callKey: "pay", requestId: "lost answer" });
    expect(await begin({ callKey: "pay", requestId: "lost answer" })).toEqual(["started"]);
    await takeOver();
    expect(await begin({ callKey: "read", toolClass: ToolCallClass.REPEATABLE })).toEqual(["started"]);
    expect(await begin({ callKey: "pay" })).toEqual(["unknown", "2026-01-02T03:04:05.678Z"]);
    await expect(finish(bytes(1), { callKey: "pay" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `tool call pay of ${executionId} was told to be of unknown outcome: its result comes too late`,
    });
    await expect(finish(bytes(1), { callKey: "never" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `tool call never of ${executionId} was not begun under fence ${fence}: begin it before it is run`,
    });
  });

  it("hold a result of many megabytes", async () => {
    const large = new Uint8Array(8 * 1024 * 1024).fill(7);
    await begin();
    await finish(large);
    const [kind, result] = await begin();
    expect(kind).toBe("recorded");
    expect(Buffer.compare(result as Uint8Array, large)).toBe(0);
  });

  it("are refused of a run that has ended or never was, and held to the contract's rules", async () => {
    await begin();
    await server.runs.fail(executionId, "no");
    const ended = {
      code: Code.FailedPrecondition,
      rawMessage: `${executionId} has ended (failed): its status is final`,
    };
    await expect(begin()).rejects.toMatchObject(ended);
    await expect(finish(bytes(1))).rejects.toMatchObject(ended);
    await expect(begin({ executionId: MISSING })).rejects.toMatchObject({ code: Code.NotFound });
    const invalid = { code: Code.InvalidArgument };
    await expect(begin({ toolClass: ToolCallClass.UNSPECIFIED })).rejects.toMatchObject(invalid);
    await expect(begin({ requestId: "" })).rejects.toMatchObject(invalid);
    await expect(begin({ fence: 0 })).rejects.toMatchObject(invalid);
    expect(await server.store.ledger.count(executionId)).toBe(0);
  });
});

describe("a stream of tool calls", () => {
  const intent = (callKey: string): Entry => ({
    case: "begin",
    value: { executionId, fence, callKey, toolName: "execute", toolClass: ToolCallClass.ONCE, requestId: callKey },
  });

  it("answers each entry under its number, refuses one, and goes on", async () => {
    const answers = await Array.fromAsync(
      server.runner.recordToolCalls(
        (async function* () {
          yield { number: 1, entry: intent("a") };
          yield { number: 2, entry: { case: "finish" as const, value: { executionId, fence: 99, callKey: "a" } } };
          yield { number: 3, entry: intent("b") };
        })(),
      ),
    );
    const byNumber = new Map(answers.map(({ number, answer }) => [number, answer]));
    expect(byNumber.get(1)).toMatchObject({ case: "begun", value: { outcome: { case: "started" } } });
    expect(byNumber.get(2)).toMatchObject({
      case: "refused",
      value: { code: Code.FailedPrecondition, message: expect.stringContaining("fence 99") as string },
    });
    expect(byNumber.get(3)).toMatchObject({ case: "begun" });
    expect(await server.store.ledger.count(executionId)).toBe(2);
  });

  it("ends when the server closes, after the last answer", async () => {
    const entries = Promise.withResolvers<void>();
    const answers = server.runner.recordToolCalls(
      (async function* () {
        yield { number: 1, entry: intent("a") };
        await entries.promise;
      })(),
    );
    const stream = answers[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ number: 1 });
    const end = stream.next();
    server.closing.close(shuttingDown());
    await expect(end).rejects.toMatchObject({ code: Code.Unavailable });
    entries.resolve();
  });

  it("ends with what is no refusal, which the caller finds out by a call", async () => {
    vi.spyOn(server.store.ledger, "begin").mockRejectedValueOnce(new Error("the disk is gone"));
    await expect(streamed(intent("a"))).rejects.toMatchObject({ code: Code.Internal });
    expect(await begin({ callKey: "a" })).toEqual(["started"]);
  });
});

describe.each(["calls", "stream", "run stream"] as const)("an old fence, in %s,", (theirs) => {
  beforeEach(() => void (way = theirs));
  afterEach(() => void (way = "calls"));

  /** Nothing of a runner that lost the run counts any more: not its status, not its tools, and in the same words. */
  async function expectRefused(zombie: number): Promise<void> {
    const before = await server.executions.get({ value: executionId });
    const calls = await server.store.ledger.count(executionId);
    const stale = {
      code: Code.FailedPrecondition,
      rawMessage: `fence ${zombie} of ${executionId} is not current (${fence}): another runner has taken over, stop this run`,
    };
    await expect(patch(zombie)).rejects.toMatchObject(stale);
    await expect(begin({ fence: zombie, callKey: "new" })).rejects.toMatchObject(stale);
    await expect(begin({ fence: zombie, callKey: "open", requestId: "as before" })).rejects.toMatchObject(stale);
    await expect(finish(bytes(9), { fence: zombie, callKey: "open" })).rejects.toMatchObject(stale);
    await expect(finish(bytes(9), { fence: zombie, callKey: "done" })).rejects.toMatchObject(stale);
    expect(await server.store.ledger.count(executionId)).toBe(calls);
    expect(await server.executions.get({ value: executionId })).toEqual(before);
  }

  beforeEach(async () => {
    await patch(fence);
    await begin({ callKey: "done" });
    await finish(bytes(1), { callKey: "done" });
    await begin({ callKey: "open", requestId: "as before" });
  });

  it("is refused after a lost lease, before and after a restart of the server", async () => {
    const zombie = fence;
    await takeOver();
    await expectRefused(zombie);
    server = await server.restart();
    await expectRefused(zombie);
    expect(await begin({ callKey: "done" })).toEqual(["recorded", bytes(1)]);
    expect(await begin({ callKey: "open" })).toEqual(["unknown", new Date(AT).toISOString()]);
    await patch(fence);
  });

  it("is refused when the server restarted between the loss and the takeover", async () => {
    const zombie = fence;
    await lose();
    server = await server.restart();
    // Nobody has it: the zombie starts nothing, but what it did may be told.
    await expect(begin({ callKey: "new" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `fence ${zombie} of ${executionId} is not held any more: the run waits for its next runner, stop it`,
    });
    ({ fence } = await server.lease());
    await expectRefused(zombie);
  });

  it("is refused once the same run went to a new activity under the same lease", async () => {
    const zombie = fence;
    const claimed = await server.queue.claim({ taskId: executionId, claimId: "workflow 1, activity 2, attempt 1" });
    fence = claimed?.fence ?? 0;
    expect(fence).toBe(zombie + 1);
    await expectRefused(zombie);
    // A claim whose answer was lost is repeated: the fence stays, and with it who may write.
    await server.queue.claim({ taskId: executionId, claimId: "workflow 1, activity 2, attempt 1" });
    await patch(fence);
    server = await server.restart();
    await expectRefused(zombie);
    expect(await begin({ callKey: "new" })).toEqual(["started"]);
  });

  it("is refused of each of many lost runners, though they all wake up at once", async () => {
    const zombies = [fence];
    for (let losses = 0; losses < 4; losses++) {
      await takeOver();
      zombies.push(fence);
    }
    zombies.pop();
    for (const zombie of zombies) await expectRefused(zombie);
    const woken = zombies.flatMap((zombie) => [patch(zombie), begin({ fence: zombie, callKey: "new" })]);
    const outcomes = await Promise.allSettled([...woken, begin({ callKey: "new" })]);
    expect(outcomes.map(({ status }) => status)).toEqual([...woken.map(() => "rejected"), "fulfilled"]);
  });

  it("is refused in a repeated patch, which under the present fence is answered again", async () => {
    const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_IN_PROGRESS));
    const sent = { fence, sequence: 1, delta };
    const revision = await patched(sent);
    expect(await patched(sent)).toBe(revision);
    await lose();
    expect(await patched(sent)).toBe(revision);
    ({ fence } = await server.lease());
    await expect(patched(sent)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    server = await server.restart();
    await expect(patched(sent)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await server.executions.get({ value: executionId })).toMatchObject({ status: { revision } });
  });

  it("opens no secrets, of which the present one does", async () => {
    const zombie = fence;
    await server.environments.create(given.environment("e", { KEY: { value: "canary", isSecret: true } }));
    await takeOver();
    const read = async (under: number): Promise<string | undefined> => {
      const headers = { "stigmer-fence": `${executionId}/${under}` };
      return (await server.environments.getByReference({ slug: "e" }, { headers })).spec?.data["KEY"]?.value;
    };
    expect(await read(zombie)).toBe("********");
    expect(await read(fence)).toBe("canary");
  });
});

describe("a status over a run's stream", () => {
  beforeEach(() => void (way = "run stream"));
  afterEach(() => void (way = "calls"));
  const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_IN_PROGRESS));

  it("is stored when it is answered, and counted on with what came by calls", async () => {
    const first = await patched({ fence, sequence: 1, delta });
    const { revision } = await server.executions.patchStatus({ executionId, fence, sequence: 2, delta });
    expect(await patched({ fence, sequence: 3, delta })).toBe(first + 2);
    expect(revision).toBe(first + 1);
    server = await server.restart();
    expect(await server.executions.get({ value: executionId })).toMatchObject({
      status: { phase: ExecutionPhase.EXECUTION_IN_PROGRESS, revision: first + 2 },
    });
  });

  it("is refused when it leaves out some of its fence's, as after a power cut that took them", async () => {
    const first = await patched({ fence, sequence: 1, delta });
    const refused = { code: Code.FailedPrecondition, rawMessage: expect.stringContaining("lost in part") };
    await expect(patched({ fence, sequence: 3, delta })).rejects.toMatchObject(refused);
    server = await server.restart();
    await expect(patched({ fence, sequence: 3, delta })).rejects.toMatchObject(refused);
    expect(await patched({ fence, sequence: 2, delta })).toBe(first + 1);
  });

  it("is refused as the call is, of a run that never was, has ended, or is told what fits nothing", async () => {
    const sent = { fence, sequence: 1, delta };
    await expect(patched({ ...sent, executionId: MISSING })).rejects.toMatchObject({ code: Code.NotFound });
    const gap = deltaOf(["textAppended", { messageId: "m1", kind: 1, offset: 99, text: "x" }] as never);
    const refusals = [];
    for (const theirs of ["calls", "run stream"] as const) {
      way = theirs;
      refusals.push(
        await patched({ ...sent, delta: gap }).catch(({ code, rawMessage }: ConnectError) => [code, rawMessage]),
      );
    }
    expect(refusals[1]).toEqual(refusals[0]);
    await server.runs.fail(executionId, "no");
    await expect(patched(sent)).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });

  it("is held to the contract's rules, which ends the stream", async () => {
    for (const wrong of [{ fence: 0 }, { sequence: 0 }, { executionId: "" }]) {
      const sent = { fence, sequence: 1, delta, ...wrong };
      await expect(patched(sent)).rejects.toMatchObject({ code: Code.InvalidArgument });
    }
  });

  it("waits for no entry of another kind", async () => {
    const stored = Promise.withResolvers<never>();
    vi.spyOn(server.store.ledger, "begin").mockReturnValueOnce(stored.promise);
    const over = Promise.withResolvers<void>();
    const answers = server.runner.recordRun(
      (async function* (): AsyncGenerator<MessageInitShape<typeof RunEntrySchema>> {
        const call = {
          executionId,
          fence,
          callKey: "a",
          toolName: "execute",
          toolClass: ToolCallClass.ONCE,
          requestId: "q",
        };
        yield { number: 1, entry: { case: "begin", value: call } };
        yield { number: 2, entry: { case: "patch", value: { executionId, fence, sequence: 1, delta } } };
        await over.promise;
      })(),
    );
    const stream = answers[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ number: 2, answer: { case: "patched" } });
    stored.resolve({ kind: "started" } as never);
    expect((await stream.next()).value).toMatchObject({ number: 1, answer: { case: "begun" } });
    over.resolve();
    expect((await stream.next()).done).toBe(true);
  });
});

it("forgets tool calls and messages of a run that ended or was deleted", async () => {
  await begin();
  await server.executions.sendMessage({ executionId, messageId: "m1", text: "one" });
  await patch(fence);
  const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_COMPLETED));
  await server.executions.patchStatus({ executionId, fence, sequence: 2, delta });
  expect(await server.store.ledger.count(executionId)).toBe(0);
  expect(await server.store.queue.inbox(executionId, { seen: 0 })).toHaveLength(1);
  await server.store.queue.complete({ taskId: executionId, fence }, "r1");
  expect(await server.store.queue.inbox(executionId, { seen: 0 })).toEqual([]);
  const next = await server.store.queue.lease({ queue: QUEUE, runnerId: "r", now: AT, leaseMs: 1, maxAttempts: 1 });
  expect(next).toBeUndefined();
});

describe("a session's thread", () => {
  const sessionOf = async (): Promise<Session> => {
    const { spec } = await server.executions.get({ value: executionId });
    return server.sessions.get({ value: spec?.sessionId ?? "" });
  };
  const threadOf = async (sessionId: string): Promise<string> =>
    (await server.runner.ensureThread({ sessionId })).threadId;

  it("is there from the start where a run began the session, and told to those only who have a run of it", async () => {
    const { metadata, spec } = await sessionOf();
    const id = metadata?.id ?? "";
    expect(spec?.threadId).toBe(`thread-${id}`);
    expect(await threadOf(id)).toBe(`thread-${id}`);
    await lose();
    await expect(threadOf(id)).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("is given once to a session that was made without", async () => {
    const { spec } = await sessionOf();
    const made = await server.sessions.create(given.session("s", spec?.agentInstanceId ?? ""));
    const id = made.metadata?.id ?? "";
    expect(made.spec?.threadId).toBe("");
    await server.executions.create(given.execution({ sessionId: id }));
    await server.lease();
    expect(await threadOf(id)).toBe(`thread-${id}`);
    const { spec: stored, metadata } = await server.sessions.get({ value: id });
    expect([stored?.threadId, metadata?.version]).toEqual([`thread-${id}`, made.metadata?.version]);
  });

  it("is told to the next runner of a run whose end is stored already, as the session has it", async () => {
    const { metadata, spec } = await sessionOf();
    const id = metadata?.id ?? "";
    const changed = given.session("s", spec?.agentInstanceId ?? "", { threadId: "theirs" }, { id });
    await server.sessions.update(changed);
    const delta = deltaOf(...moved(ExecutionPhase.EXECUTION_COMPLETED));
    await server.executions.patchStatus({ executionId, fence, sequence: 1, delta });
    await takeOver();
    expect(await threadOf(id)).toBe("theirs");
    await server.store.queue.complete({ taskId: executionId, fence }, "r1");
    await expect(threadOf(id)).rejects.toMatchObject({ code: Code.NotFound });
  });
});
