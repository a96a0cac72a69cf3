// What people may ask of a run under way, and what its tools' effects are worth when its runner is killed: real server,
// real runner processes, real tools; only the model's words are scripted. Every engine has to pass.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ExecutionPhase,
  MessageType,
  ToolCallStatus,
  UnknownOutcomePolicy,
  type AgentExecution,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startPlatform, type Platform, type PlatformOptions, type RunnerProcess } from "./platform.ts";
import { until } from "./until.ts";

const DIE_BEFORE_RELEASE = new URL("die-before-release.ts", import.meta.url).href;

/** What the tests of one engine alone have to work with. */
export interface OrdersWorld {
  readonly platform: Platform;
  startRunner(): Promise<RunnerProcess>;
  /** Submits, and waits until the first effect has happened and its tool goes on waiting for `letGo`. */
  submitAndWait(message: string): Promise<AgentExecution>;
  letGo(): Promise<void>;
  effects(): Promise<string[]>;
}

/** Registers the tests over one platform. `more` adds those that the engine alone has. */
export function ordersSuite(options: () => PlatformOptions | Promise<PlatformOptions>, more?: (world: OrdersWorld) => void): void {
  let platform: Platform;
  let folder: string;
  let workspaceDir: string;
  let runners: RunnerProcess[] = [];

  const waits = "while [ ! -e go ]; do sleep 0.05; done";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "stigmer-orders-"));
    platform = await startPlatform(
      {
      name: "orders",
      scenarios: [
        {
          name: "two effects",
          match: { human: "two effects" },
          turns: [
            { toolCalls: [{ name: "execute", args: { command: `echo one >> effects; ${waits}` } }] },
            { toolCalls: [{ name: "execute", args: { command: "echo two >> effects" } }] },
            { text: "both done" },
          ],
        },
        {
          name: "tells what came of it",
          match: { human: "one effect" },
          turns: [
            { toolCalls: [{ name: "execute", args: { command: `echo one >> effects; ${waits}` } }] },
            { text: 'It is {{ result("execute", "outcome of this call is (unknown)") }}.' },
          ],
        },
        {
          name: "thinks long after its effect",
          match: { human: "slow thought" },
          turns: [
            { toolCalls: [{ name: "execute", args: { command: "echo one >> effects" } }] },
            { text: "thought through", startDelayMs: 3_000 },
          ],
        },
        { name: "hears", match: { human: "be quick" }, turns: [{ text: "Quick it is." }] },
      ],
    }, await options());
  }, 60_000);

  afterAll(async () => {
    await platform[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    workspaceDir = await mkdtemp(join(folder, "work-"));
    runners = [];
  });

  afterEach(async () => {
    for (const runner of runners) runner.process.kill("SIGKILL");
    await Promise.all(runners.map(({ exited }) => exited));
  });

  async function startRunner(env?: Record<string, string>): Promise<RunnerProcess> {
    const runner = await platform.runner(env);
    runners.push(runner);
    return runner;
  }

  const effects = async (): Promise<string[]> =>
    (await readFile(join(workspaceDir, "effects"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");

  async function submit(message: string, unknownOutcome?: UnknownOutcomePolicy): Promise<AgentExecution> {
    const session = await platform.createSession(await platform.applyAgent(), { workspaceDir });
    return platform.submit({
      sessionId: session.metadata?.id,
      message,
      ...(unknownOutcome && { executionConfig: { unknownOutcome } }),
    });
  }

  /** Submits, and waits until the first effect has happened and its tool goes on waiting. */
  async function submitAndWait(message: string, policy?: UnknownOutcomePolicy): Promise<AgentExecution> {
    const execution = await submit(message, policy);
    await until(async () => (await effects()).includes("one"));
    return execution;
  }

  const idOf = (execution: AgentExecution): string => execution.metadata?.id ?? "";
  const letGo = (): Promise<void> => writeFile(join(workspaceDir, "go"), "");
  const isPaused = ({ phase }: AgentExecutionStatus): boolean => phase === ExecutionPhase.EXECUTION_PAUSED;

  function answer(status: AgentExecutionStatus): string {
    return status.messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content ?? "";
  }

  async function stored(execution: AgentExecution): Promise<AgentExecutionStatus> {
    const { status } = await platform.client.executions.get(idOf(execution));
    if (!status) throw new Error("the execution has no status");
    return status;
  }

  describe("a run that is asked to pause", () => {
    it("rests when its tool has ended, and goes on with another runner", { timeout: 180_000 }, async () => {
      const first = await startRunner();
      const execution = await submitAndWait("two effects");
      await platform.client.executions.pause(idOf(execution), "let me look");
      expect((await stored(execution)).phase).toBe(ExecutionPhase.EXECUTION_IN_PROGRESS);
      await first.printed("run was asked to pause");
      await letGo();
      const paused = await platform.follow(execution, isPaused);
      expect(paused.toolCalls.map(({ status }) => status)).toEqual([ToolCallStatus.TOOL_CALL_COMPLETED]);
      expect(paused.messages.at(-1)).toMatchObject({ type: MessageType.MESSAGE_SYSTEM, content: "let me look" });
      // The runner says so only once the server has stored it.
      await first.printed(/"stop":"paused".*"run stopped here"/);
      expect(await effects()).toEqual(["one"]);

      first.process.kill("SIGTERM");
      expect(await first.exited).toBe(0);
      await startRunner();
      expect((await stored(execution)).phase).toBe(ExecutionPhase.EXECUTION_PAUSED);
      await platform.client.executions.resume(idOf(execution));
      const status = await platform.follow(execution);
      expect([status.phase, status.error]).toEqual([ExecutionPhase.EXECUTION_COMPLETED, ""]);
      expect(answer(status)).toBe("both done");
      expect(await effects()).toEqual(["one", "two"]);
      expect(status.toolCalls.map(({ status }) => status)).toEqual([
        ToolCallStatus.TOOL_CALL_COMPLETED,
        ToolCallStatus.TOOL_CALL_COMPLETED,
      ]);
    });

    it("is cancelled where it rests", { timeout: 120_000 }, async () => {
      const runner = await startRunner();
      const execution = await submitAndWait("two effects");
      await platform.client.executions.pause(idOf(execution));
      await runner.printed("run was asked to pause");
      await letGo();
      await platform.follow(execution, isPaused);
      await platform.client.executions.cancel(idOf(execution), "not needed");
      expect((await platform.follow(execution)).phase).toBe(ExecutionPhase.EXECUTION_CANCELLED);
      expect(await effects()).toEqual(["one"]);
    });
  });

  describe("a run that is spoken to", () => {
    it("hears it before its next model call, once, and shows it", { timeout: 120_000 }, async () => {
      const runner = await startRunner();
      const execution = await submitAndWait("two effects");
      for (let time = 0; time < 2; time += 1) {
        await platform.client.executions.sendMessage(idOf(execution), "be quick", { messageId: "m1" });
      }
      await runner.printed("run was sent something");
      await letGo();
      const status = await platform.follow(execution);
      expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
      expect(answer(status)).toBe("Quick it is.");
      const people = status.messages.filter(({ type }) => type === MessageType.MESSAGE_HUMAN);
      expect(people.map(({ content }) => content)).toEqual(["two effects", "be quick"]);
      expect(await effects()).toEqual(["one"]);
    });

    it("hears also what was said while it rested, with whichever runner", { timeout: 120_000 }, async () => {
      const first = await startRunner();
      const execution = await submitAndWait("two effects");
      await platform.client.executions.pause(idOf(execution));
      await first.printed("run was asked to pause");
      await letGo();
      await platform.follow(execution, isPaused);
      await first.printed("run stopped here");
      first.process.kill("SIGKILL");
      await platform.client.executions.sendMessage(idOf(execution), "be quick");
      await startRunner();
      await platform.client.executions.resume(idOf(execution));
      const status = await platform.follow(execution);
      expect(answer(status)).toBe("Quick it is.");
      expect(status.messages.filter(({ content }) => content === "be quick")).toHaveLength(1);
    });
  });

  describe("a run whose runner is killed with SIGKILL", () => {
    it("in the middle of a tool: is told that nobody knows, and does not repeat it", { timeout: 120_000 }, async () => {
      const first = await startRunner();
      const execution = await submitAndWait("one effect");
      first.process.kill("SIGKILL");
      await startRunner();
      const status = await platform.follow(execution);
      expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
      expect(answer(status)).toBe("It is unknown.");
      expect(await effects()).toEqual(["one"]);
      expect(status.toolCalls.map(({ status }) => status)).toEqual([ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN]);
    });

    it("in the middle of a tool: rests for a person when that is the policy", { timeout: 120_000 }, async () => {
      const first = await startRunner();
      const execution = await submitAndWait("one effect", UnknownOutcomePolicy.PAUSE);
      first.process.kill("SIGKILL");
      const second = await startRunner();
      const paused = await platform.follow(execution, isPaused);
      expect(paused.messages.at(-1)).toMatchObject({
        type: MessageType.MESSAGE_SYSTEM,
        content: expect.stringContaining("The outcome of a call of execute is unknown"),
      });
      await second.printed(/"stop":"paused".*"run stopped here"/);
      expect(await effects()).toEqual(["one"]);
      await platform.client.executions.resume(idOf(execution));
      const status = await platform.follow(execution);
      expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
      expect(answer(status)).toBe("It is unknown.");
      expect(await effects()).toEqual(["one"]);
      expect(status.toolCalls.map(({ status }) => status)).toEqual([ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN]);
    });

    it("as it rests for a person, when only the status says so: is not gone on with", { timeout: 120_000 }, async () => {
      const first = await startRunner();
      const execution = await submitAndWait("one effect", UnknownOutcomePolicy.PAUSE);
      first.process.kill("SIGKILL");
      const second = await startRunner({ NODE_OPTIONS: `--import=${DIE_BEFORE_RELEASE}` });
      expect(await second.exited).toBe("SIGKILL");
      const asked = await stored(execution);
      expect(asked.phase).toBe(ExecutionPhase.EXECUTION_PAUSED);
      expect(asked.messages.at(-1)?.content).toContain("The outcome of a call of execute is unknown");
      const third = await startRunner();
      // Where no runner is given the run, its queue has it at rest; else the runner stops at once.
      const isLeft = async (): Promise<boolean> =>
        third.output().includes("run stopped here") || (await platform.metrics?.())?.paused === 1;
      await until(isLeft, 60_000);
      expect(await stored(execution)).toEqual(asked);
      expect(third.output()).not.toContain("agent is ready");
      await platform.client.executions.resume(idOf(execution));
      const status = await platform.follow(execution);
      expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
      expect(answer(status)).toBe("It is unknown.");
      expect(status.messages.filter(({ content }) => content.includes("The outcome of a call"))).toHaveLength(1);
      expect(await effects()).toEqual(["one"]);
    });

    it("between a tool and the answer: repeats nothing", { timeout: 120_000 }, async () => {
      const first = await startRunner();
      const execution = await submit("slow thought");
      await platform.follow(execution, ({ toolCalls }) => toolCalls[0]?.status === ToolCallStatus.TOOL_CALL_COMPLETED);
      first.process.kill("SIGKILL");
      await startRunner();
      const status = await platform.follow(execution);
      expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
      expect(answer(status)).toBe("thought through");
      expect(await effects()).toEqual(["one"]);
      expect(status.toolCalls.map(({ status }) => status)).toEqual([ToolCallStatus.TOOL_CALL_COMPLETED]);
    });
  });

  more?.({
    get platform() {
      return platform;
    },
    startRunner,
    submitAndWait,
    letGo,
    effects,
  });
}
