// Tool calls that wait for a person: real server and runner processes, killed while nobody has answered yet. Every engine has
// to pass.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApprovalAction } from "@stigmer/protos/agent/v1";
import {
  ApprovalDecision,
  ExecutionPhase,
  MessageType,
  ToolCallStatus,
  type AgentExecution,
  type AgentExecutionStatus,
  type ToolCall,
} from "@stigmer/protos/agentexecution/v1";
import type { Session } from "@stigmer/protos/session/v1";
import type { Scenario } from "@stigmer/scripted-model";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "./until.ts";
import { startPlatform, type Platform, type PlatformOptions, type RunnerProcess } from "./platform.ts";

const { EXECUTION_CANCELLED, EXECUTION_COMPLETED, EXECUTION_WAITING_FOR_APPROVAL } = ExecutionPhase;
const { TOOL_CALL_CANCELLED, TOOL_CALL_COMPLETED, TOOL_CALL_WAITING_FOR_APPROVAL } = ToolCallStatus;

const execute = (command: string) => ({ name: "execute", args: { command } });
const deploy = (name: string) => execute(`./deploy ${name}`);
const note = (name: string) => execute(`echo ${name} >> effects`);
const task = (description: string) => ({ name: "task", args: { description, subagent_type: "general-purpose" } });

const scenarios: Scenario[] = [
  ...["a", "b"].map((name): Scenario => ({
    name: `ships ${name}`,
    match: { human: `Ship ${name}` },
    turns: [{ toolCalls: [note(`before-${name}`)] }, { toolCalls: [deploy(name)] }, { text: `Shipped ${name}.` }],
  })),
  { name: "two", match: { human: "ship both" }, turns: [{ toolCalls: [task("Ship a"), task("Ship b")] }, { text: "Both." }] },
  {
    name: "one",
    match: { human: "deploy once" },
    turns: [{ toolCalls: [deploy("one"), note("beside")] }, { text: "Deployed." }],
  },
  {
    name: "twice",
    match: { human: "deploy twice" },
    turns: [{ toolCalls: [deploy("one")] }, { toolCalls: [deploy("two")] }, { text: "Twice." }],
  },
  { name: "quick", match: { human: "anything else" }, turns: [{ text: "Here I am." }] },
];

/** Registers the tests over one platform, whose server is killed by its restart. */
export function approvalsSuite(options: () => PlatformOptions | Promise<PlatformOptions>): void {
  let platform: Platform;
  let folder: string;
  let workspaceDir: string;
  let session: Session;
  let runners: RunnerProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "stigmer-approvals-"));
    platform = await startPlatform({ name: "approvals", scenarios }, await options());
  }, 60_000);

  afterAll(async () => {
    await platform[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    workspaceDir = await mkdtemp(join(folder, "work-"));
    runners = [];
    const rules = [{ commands: ["./deploy *"], action: ApprovalAction.ASK, reason: "it goes live" }];
    const agent = await platform.applyAgent({ approvalPolicy: { rules } });
    session = await platform.createSession(agent, { workspaceDir });
  });

  afterEach(async () => {
    for (const runner of runners) runner.process.kill("SIGKILL");
    await Promise.all(runners.map(({ exited }) => exited));
  });

  /** One place alone: what waits must not take it. */
  async function startRunner(): Promise<RunnerProcess> {
    const runner = await platform.runner({ TEMPORAL_MAX_CONCURRENCY: "1" });
    runners.push(runner);
    return runner;
  }

  async function submit(message: string, autoApprove = false): Promise<AgentExecution> {
    // The command that is asked about.
    await writeFile(join(workspaceDir, "deploy"), '#!/bin/sh\necho "$1" >> effects\n', { mode: 0o755 });
    return platform.submit({ sessionId: session.metadata?.id, message, executionConfig: { autoApprove } });
  }

  const idOf = (execution: AgentExecution): string => execution.metadata?.id ?? "";
  const effects = async (): Promise<string[]> =>
    (await readFile(join(workspaceDir, "effects"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  const pending = ({ toolCalls }: AgentExecutionStatus): ToolCall[] =>
    toolCalls.filter(({ status }) => status === TOOL_CALL_WAITING_FOR_APPROVAL);
  const commandOf = ({ args }: ToolCall): unknown => args?.["command"];

  /** Until the run rests, and that many calls wait. */
  const untilWaiting = (execution: AgentExecution, count = 1): Promise<AgentExecutionStatus> =>
    platform.follow(
      execution,
      (status) => status.phase === EXECUTION_WAITING_FOR_APPROVAL && pending(status).length === count,
    );

  function answer(status: AgentExecutionStatus): string {
    return status.messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content ?? "";
  }

  const resolve = (execution: AgentExecution, call: ToolCall | undefined, decision: "approve" | "reject" | "skip") =>
    platform.client.executions.resolveApproval(idOf(execution), call?.id ?? "", { decision });

  describe("a run that waits for approval", () => {
    it("holds no runner, and goes on after the runner and the server were killed: its effect happens once", { timeout: 180_000 }, async () => {
      const first = await startRunner();
      const execution = await submit("deploy once");
      const waiting = await untilWaiting(execution);
      expect(pending(waiting)).toMatchObject([
        { name: "execute", args: { command: "./deploy one" }, approval: { reason: "it goes live", decision: 0 } },
      ]);
      expect(await effects()).toEqual(["beside"]);
      await first.printed("run stopped here");
      // The only place is free.
      const other = await platform.createSession(await platform.applyAgent());
      const meanwhile = await platform.run({ sessionId: other.metadata?.id, message: "anything else" });
      expect(meanwhile.phase).toBe(EXECUTION_COMPLETED);

      first.process.kill("SIGKILL");
      await first.exited;
      await platform.restartServer();
      expect((await platform.client.executions.get(idOf(execution))).status?.phase).toBe(EXECUTION_WAITING_FOR_APPROVAL);
      await resolve(execution, pending(waiting)[0], "approve");
      await startRunner();
      const status = await platform.follow(execution);
      expect([status.phase, status.error]).toEqual([EXECUTION_COMPLETED, ""]);
      expect((await effects()).toSorted()).toEqual(["beside", "one"]);
      const decided = status.toolCalls.find((call) => commandOf(call) === "./deploy one");
      expect(decided).toMatchObject({
        status: TOOL_CALL_COMPLETED,
        approval: { decision: ApprovalDecision.APPROVE, decidedBy: "local" },
      });
    });

    it("is told while its server is away, and goes on when that is back", { timeout: 180_000 }, async () => {
      await startRunner();
      const execution = await submit("deploy once");
      const waiting = await untilWaiting(execution);
      const told = Promise.withResolvers<void>();
      await platform.restartServer(async () => {
        // As whoever insists: the server may be away for longer than a client waits.
        void until(() => resolve(execution, pending(waiting)[0], "approve").then(() => true, () => false), 60_000)
          .then(told.resolve, told.reject);
      });
      await told.promise;
      const status = await platform.follow(execution);
      expect(status.phase).toBe(EXECUTION_COMPLETED);
      expect((await effects()).toSorted()).toEqual(["beside", "one"]);
    });

    it("is cancelled where it rests", { timeout: 120_000 }, async () => {
      await startRunner();
      const execution = await submit("deploy once");
      const waiting = await untilWaiting(execution);
      await platform.client.executions.cancel(idOf(execution), "not needed");
      const status = await platform.follow(execution);
      expect(status.phase).toBe(EXECUTION_CANCELLED);
      const call = status.toolCalls.find(({ id }) => id === pending(waiting)[0]?.id);
      expect(call?.status).toBe(TOOL_CALL_CANCELLED);
      expect(await effects()).toEqual(["beside"]);
      await expect(resolve(execution, call, "approve")).rejects.toMatchObject({ code: "failed-precondition" });
    });

    it("runs what was edited, and shows that", { timeout: 120_000 }, async () => {
      await startRunner();
      const execution = await submit("deploy once");
      const [call] = pending(await untilWaiting(execution));
      const args = { command: "./deploy staging" };
      await platform.client.executions.resolveApproval(idOf(execution), call?.id ?? "", { decision: "edit", args });
      const status = await platform.follow(execution);
      expect(status.phase).toBe(EXECUTION_COMPLETED);
      expect((await effects()).toSorted()).toEqual(["beside", "staging"]);
      expect(status.toolCalls.find(({ id }) => id === call?.id)).toMatchObject({ args, status: TOOL_CALL_COMPLETED });
    });
  });

  it("two calls in two parallel sub-agents wait, are answered in reverse order, and nothing is run twice", { timeout: 180_000 }, async () => {
    await startRunner();
    const execution = await submit("ship both");
    const waiting = pending(await untilWaiting(execution, 2));
    const of = (name: string): ToolCall | undefined => waiting.find((call) => commandOf(call) === `./deploy ${name}`);
    expect(waiting.every(({ subAgentId }) => subAgentId !== "")).toBe(true);
    await resolve(execution, of("b"), "approve");
    const left = await platform.follow(
      execution,
      (status) => status.phase === EXECUTION_WAITING_FOR_APPROVAL && pending(status).length === 1,
    );
    expect(pending(left).map(commandOf)).toEqual(["./deploy a"]);
    expect((await effects()).toSorted()).toEqual(["b", "before-a", "before-b"]);
    await resolve(execution, of("a"), "reject");
    const status = await platform.follow(execution);
    expect([status.phase, answer(status)]).toEqual([EXECUTION_COMPLETED, "Both."]);
    expect((await effects()).toSorted()).toEqual(["b", "before-a", "before-b"]);
    expect(status.toolCalls.find(({ id }) => id === of("a")?.id)?.status).toBe(TOOL_CALL_CANCELLED);
  });

  it("what is allowed for the session does not wait again, in this run and the next", { timeout: 180_000 }, async () => {
    await startRunner();
    const execution = await submit("deploy twice");
    const [call] = pending(await untilWaiting(execution));
    await platform.client.executions.resolveApproval(idOf(execution), call?.id ?? "", { decision: "approve", forSession: true });
    expect((await platform.follow(execution)).phase).toBe(EXECUTION_COMPLETED);
    expect(await effects()).toEqual(["one", "two"]);
    expect((await platform.follow(await submit("deploy once"))).phase).toBe(EXECUTION_COMPLETED);
    expect((await effects()).toSorted()).toEqual(["beside", "one", "one", "two"]);
  });

  it("nobody is asked when nobody is there", { timeout: 120_000 }, async () => {
    await startRunner();
    const status = await platform.follow(await submit("deploy once", true));
    expect(status.phase).toBe(EXECUTION_COMPLETED);
    expect((await effects()).toSorted()).toEqual(["beside", "one"]);
  });
}
