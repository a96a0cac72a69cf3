import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExecutionPhase, SubAgentStatus, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// Tasks in the background as people see them: real server, real runner processes; only the model's words are scripted.

let platform: Platform;
let workspaceDir: string;

beforeAll(async () => {
  workspaceDir = await mkdtemp(join(tmpdir(), "stigmer-background-"));
  const waits = (name: string): string => `while [ ! -e ${name}.go ]; do sleep 0.05; done; echo ${name} >> effects`;
  const digger = (name: string) => ({
    name: `digs ${name}`,
    match: { human: `Dig ${name}` },
    turns: [{ toolCalls: [{ name: "execute", args: { command: waits(name) } }] }, { text: `Dug ${name}.` }],
  });
  const beside = (description: string) => ({
    name: "task",
    args: { subagent_type: "general-purpose", description, run_in_background: true },
  });
  platform = await startPlatform({
    name: "background",
    scenarios: [
      digger("a"),
      digger("b"),
      { name: "hears b", match: { human: "Dug b" }, turns: [{ text: "Both." }] },
      { name: "hears a", match: { human: "Dug a" }, turns: [{ text: "One." }] },
      { name: "hands over", turns: [{ toolCalls: [beside("Dig a"), beside("Dig b")] }, { text: "Meanwhile." }] },
    ],
  });
}, 60_000);
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(workspaceDir, { recursive: true, force: true });
});

const letGo = (name: string): Promise<void> => writeFile(join(workspaceDir, `${name}.go`), "");
const said = ({ messages }: AgentExecutionStatus, text: string): boolean =>
  messages.some(({ content, subAgentId }) => subAgentId === "" && content === text);
const rows = ({ subAgentExecutions }: AgentExecutionStatus): string[] =>
  subAgentExecutions.map(({ input, status, output }) => `${input}: ${SubAgentStatus[status]} ${output}`).toSorted();

it(
  "shows tasks at work until they end, and goes on with the unfinished one when the runner is killed",
  { timeout: 180_000 },
  async () => {
    const first = await platform.runner();
    const agent = await platform.applyAgent();
    const session = await platform.createSession(agent, { workspaceDir });
    const run = await platform.submit({ sessionId: session.metadata?.id, message: "Go." });
    const both = ["Dig a: SUB_AGENT_IN_PROGRESS ", "Dig b: SUB_AGENT_IN_PROGRESS "];
    // It goes on, and waits at its end.
    const working = await platform.follow(run, (status) => said(status, "Meanwhile.") && rows(status).length === 2);
    expect(rows(working)).toEqual(both);
    expect(working.toolCalls.filter(({ name }) => name === "task").map(({ result }) => result)).toEqual([
      expect.stringMatching(/^Task /),
      expect.stringMatching(/^Task /),
    ]);
    await letGo("a");
    const one = await platform.follow(run, (status) => said(status, "One."));
    expect(rows(one)).toEqual(["Dig a: SUB_AGENT_COMPLETED Dug a.", "Dig b: SUB_AGENT_IN_PROGRESS "]);

    first.process.kill("SIGKILL");
    await first.exited;
    await letGo("b");
    await platform.runner();
    const ended = await platform.follow(run);
    expect(ExecutionPhase[ended.phase]).toBe("EXECUTION_COMPLETED");
    expect(said(ended, "Both.")).toBe(true);
    expect(rows(ended)).toEqual(["Dig a: SUB_AGENT_COMPLETED Dug a.", "Dig b: SUB_AGENT_COMPLETED Dug b."]);
    expect(ended.messages.filter(({ content }) => content === "One.")).toHaveLength(1);
    const effects = (await readFile(join(workspaceDir, "effects"), "utf8")).trim().split("\n");
    expect(effects.filter((name) => name === "a")).toEqual(["a"]);
  },
);
