// Conversations in a file and in Postgres, of which more than one runner knows: one that stands still for longer than its lease (a machine
// that is suspended, a process that is stopped) and wakes up when another one has gone on with its run, and one with another time.
import { setTimeout as delay } from "node:timers/promises";
import { ExecutionPhase, MessageType } from "@stigmer/protos/agentexecution/v1";
import { describe, expect, it } from "vitest";
import { startPlatform, type Platform, type RunnerProcess } from "./__fixtures__/platform.ts";

const ANSWER = "Some words to say slowly. ".repeat(8);
const LEASE_MS = 2_000;
const CLOCK_BEHIND = new URL("./__fixtures__/clock-behind.ts", import.meta.url);
const says = (text: string) => ({ turns: [{ text }] });

function start(): Promise<Platform> {
  return startPlatform(
    {
      name: "woken",
      defaults: { chunkSize: 8, chunkDelayMs: 100 },
      scenarios: [
        { name: "first", match: { human: "First." }, ...says(ANSWER) },
        { name: "second", match: { human: "Second." }, ...says("The second answer.") },
        { name: "third", match: { human: "Third." }, ...says("The third answer.") },
      ],
    },
    { engine: { leaseMs: LEASE_MS } },
  );
}

/** What the model was told last, in the order of the conversation. */
function toldLast({ model }: Platform): unknown {
  const body = model.requests.at(-1)?.body as { messages: { role: string; content: unknown }[] } | undefined;
  return body?.messages.map(({ role, content }) => {
    const [part] = content as { text: string }[];
    return [role, typeof content === "string" ? content : part?.text];
  });
}

const WHOLE = [
  ["user", "First."],
  ["assistant", ANSWER],
  ["user", "Second."],
  ["assistant", "The second answer."],
  ["user", "Third."],
];

describe.each([
  ["a file", {}],
  ["Postgres", { STIGMER_CHECKPOINT_URL: process.env["STIGMER_TEST_POSTGRES_URL"] ?? "" }],
])("with conversations in %s", (_, env) => {
  /** It stands still until it is woken up, or the test is over: else nobody could end it. */
  async function stopInMidAnswer(
    platform: Platform,
  ): Promise<Disposable & { woken: RunnerProcess; sessionId: string; id: string; wakeUp(): void }> {
    const woken = await platform.runner(env);
    const session = await platform.createSession(await platform.applyAgent());
    const sessionId = session.metadata?.id ?? "";
    const run = await platform.submit({ sessionId, message: "First." });
    await platform.follow(run, ({ messages }) => messages.at(-1)?.content.includes("Some words") === true);
    woken.process.kill("SIGSTOP");
    await platform.runner(env);
    const wakeUp = (): void => void woken.process.kill("SIGCONT");
    return { woken, sessionId, id: run.metadata?.id ?? "", wakeUp, [Symbol.dispose]: wakeUp };
  }

  it("takes away nothing of what came after it", async () => {
    await using platform = await start();
    using stopped = await stopInMidAnswer(platform);
    const { woken, sessionId, id } = stopped;
    const first = await platform.client.executions.get(id);
    expect((await platform.follow(first)).phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    const second = await platform.run({ sessionId, message: "Second." });
    expect(second.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    // All of its answer is there to read at once: it may come to its end before it has heard that the run is another's.
    stopped.wakeUp();
    await woken.printed(/run (could not be reported|stopped here)/u);
    await platform.run({ sessionId, message: "Third." });
    expect(toldLast(platform)).toEqual(WHOLE);
  }, 60_000);

  it("leaves one conversation where it is faster than its successor", async () => {
    await using platform = await start();
    using stopped = await stopInMidAnswer(platform);
    const { sessionId, id } = stopped;
    const first = await platform.client.executions.get(id);
    // The successor is in the middle of its own answer, and what the model has to say to the other one is all said.
    while (platform.model.requests.length < 2) await delay(50);
    await delay(1_000);
    stopped.wakeUp();
    const { phase, messages } = await platform.follow(first);
    expect(phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(messages.filter(({ type }) => type === MessageType.MESSAGE_AI).map(({ content }) => content)).toEqual([
      ANSWER,
    ]);
    await platform.run({ sessionId, message: "Second." });
    await platform.run({ sessionId, message: "Third." });
    expect(toldLast(platform)).toEqual(WHOLE);
  }, 60_000);

  it("keeps the order of what was said on machines with other clocks", async () => {
    await using platform = await start();
    const session = await platform.createSession(await platform.applyAgent());
    const sessionId = session.metadata?.id ?? "";
    const ahead = await platform.runner(env);
    await platform.run({ sessionId, message: "First." });
    ahead.process.kill("SIGTERM");
    await ahead.exited;
    await platform.runner({ ...env, NODE_OPTIONS: `--import=${CLOCK_BEHIND.href}` });
    for (const message of ["Second.", "Third."]) {
      const { phase } = await platform.run({ sessionId, message });
      expect(phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    }
    expect(toldLast(platform)).toEqual(WHOLE);
  }, 60_000);
});
