import { access, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ExecutionPhase, MessageType, WhenBusy, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import type { Session } from "@stigmer/protos/session/v1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform, type PlatformOptions, type RunnerProcess } from "./platform.ts";
import { until } from "./until.ts";



const { EXECUTION_COMPLETED, EXECUTION_CANCELLED } = ExecutionPhase;

/** A session over its turns: what it remembers, and what becomes of a message while it is at work. */
export function sessionsSuite(options: () => PlatformOptions | Promise<PlatformOptions>): void {
let platform: Platform;
let runner: RunnerProcess;

beforeAll(async () => {
  const wait = "touch started; while [ ! -e go ]; do sleep 0.05; done; rm go started";
  platform = await startPlatform(
    {
      name: "sessions",
      scenarios: [
        {
          name: "remember",
          match: { human: "what did I say" },
          capture: { first: { from: "firstHuman", pattern: "(.+)" } },
          turns: [{ text: "You said: {{ first }}" }],
        },
        {
          name: "steered",
          match: { human: "Also this" },
          turns: [{ text: "I heard both." }, { text: "I heard both." }],
        },
        {
          name: "wait",
          match: { human: "Wait" },
          turns: [{ toolCalls: [{ name: "execute", args: { command: wait } }] }, { text: "Waited." }],
        },
        {
          name: "background",
          match: { human: "background" },
          turns: [
            {
              toolCalls: [
                {
                  name: "execute",
                  args: { command: `sleep 4711.${process.pid} > /dev/null 2>&1 & setsid sleep 4712.${process.pid} > /dev/null 2>&1 & echo begun` },
                },
              ],
            },
            { toolCalls: [{ name: "execute", args: { command: `touch started; sleep 4713.${process.pid}` } }] },
          ],
        },
        { name: "any", turns: [{ text: "Fine." }] },
      ],
    },
    { ...(await options()), killServer: true },
  );
  runner = await platform.runner();
}, 120_000);
afterAll(() => platform[Symbol.asyncDispose]());

const inWork = (session: Session, file: string): string =>
  join(platform.home, "workspaces", session.metadata?.id ?? "", file);
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
const answer = ({ messages }: AgentExecutionStatus): string =>
  messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content ?? "";

async function waiting(
  name: string,
): Promise<{ session: Session; send: (message: string, whenBusy?: WhenBusy) => ReturnType<Platform["submit"]> }> {
  const session = await platform.createSession(await platform.applyAgent({}, name));
  return {
    session,
    send: (message, whenBusy) => platform.submit({ sessionId: session.metadata?.id, message, whenBusy }),
  };
}

it("remembers earlier turns, also when server and runner were killed in between", { timeout: 240_000 }, async () => {
  const { send } = await waiting("memory");
  await platform.follow(await send("my name is Ada"));
  runner.process.kill("SIGKILL");
  await runner.exited;
  await platform.restartServer();
  runner = await platform.runner();
  expect(answer(await platform.follow(await send("what did I say")))).toBe("You said: my name is Ada");
});

it("queues: the next run begins when those before it are over", { timeout: 240_000 }, async () => {
  const { session, send } = await waiting("queue");
  const first = await send("Wait.");
  await until(() => exists(inWork(session, "started")));
  const [second, third] = [await send("Second."), await send("Third.", WhenBusy.QUEUE)];
  await platform.restartServer();
  await expect(send("No.", WhenBusy.REFUSE)).rejects.toThrow(`${first.metadata?.id} has not ended`);
  await writeFile(inWork(session, "go"), "");
  const ends = await Promise.all([first, second, third].map((run) => platform.follow(run)));
  expect(ends.map(({ phase }) => phase)).toEqual([EXECUTION_COMPLETED, EXECUTION_COMPLETED, EXECUTION_COMPLETED]);
  const [one, two, three] = ends.map(({ startedAt, completedAt }) => ({ startedAt, completedAt }));
  expect(one!.completedAt <= two!.startedAt && two!.completedAt <= three!.startedAt).toBe(true);
});

it("steers: the run under way hears it and answers", { timeout: 240_000 }, async () => {
  const { session, send } = await waiting("steer");
  const first = await send("Wait.");
  await until(() => exists(inWork(session, "started")));
  const steered = await send("Also this.", WhenBusy.STEER);
  expect(steered.metadata?.id).toBe(first.metadata?.id);
    // Under Temporal a runner asks for what it was sent.
    await runner.printed("run was sent something");
  await writeFile(inWork(session, "go"), "");
  const status = await platform.follow(first);
  expect(
    status.messages.filter(({ type }) => type === MessageType.MESSAGE_HUMAN).map(({ content }) => content),
  ).toEqual(["Wait.", "Also this."]);
  expect(answer(status)).toBe("I heard both.");
});

it("loses no message that steers, however close to the end it comes", { timeout: 240_000 }, async () => {
  const { send } = await waiting("race");
  for (let round = 0; round < 15; round++) {
    const first = await send(`Quick ${round}.`);
    await new Promise((resolve) => setTimeout(resolve, round * 12));
    const steered = await send(`Also this ${round}.`, WhenBusy.STEER);
    const own = await platform.follow(first);
    let heard = own.messages.filter(({ content }) => content === `Also this ${round}.`).length;
    if (steered.metadata?.id !== first.metadata?.id) await platform.follow(steered);
    await until(async () => {
      const { items } = await platform.client.executions.listBySession(first.spec?.sessionId ?? "", { pageSize: 5 });
      const all = items.flatMap(({ status }) => status?.messages ?? []);
      heard = all.filter(
        ({ type, content }) => type === MessageType.MESSAGE_HUMAN && content === `Also this ${round}.`,
      ).length;
      return heard > 0;
    });
    expect(heard).toBe(1);
  }
});

it("interrupts: what is under way and what waits is cancelled, and this one follows", { timeout: 240_000 }, async () => {
  const { session, send } = await waiting("interrupt");
  const first = await send("Wait.");
  await until(() => exists(inWork(session, "started")));
  const second = await send("Second.");
  const third = await send("Third.", WhenBusy.INTERRUPT);
  expect(await platform.follow(third)).toMatchObject({ phase: EXECUTION_COMPLETED });
  const reason = `Interrupted by ${third.metadata?.id}.`;
  for (const run of [first, second])
    expect(await platform.follow(run)).toMatchObject({ phase: EXECUTION_CANCELLED, error: reason });
});

async function sleepers(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.flatMap((line) => new RegExp(`^sleep\0(471\\d)\\.${process.pid}\0`).exec(line)?.[1] ?? []).toSorted();
}

it(
  "ends with a cancelled run every process in its sandbox, also what was left in the background",
  { timeout: 240_000 },
  async () => {
    const { session, send } = await waiting("background");
    const run = await send("Begin something in the background.");
    await until(() => exists(inWork(session, "started")));
    await until(async () => (await sleepers()).length === 3);
    await platform.client.executions.cancel(run.metadata?.id ?? "", "enough");
    expect(await platform.follow(run)).toMatchObject({ phase: EXECUTION_CANCELLED });
    expect(await sleepers()).toEqual([]);
  },
);
}
