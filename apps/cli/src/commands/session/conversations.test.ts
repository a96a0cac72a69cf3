import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import {
  ExecutionPhase,
  MessageType,
  SubAgentStatus,
  TextKind,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Change, type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";

const enter = (phase: ExecutionPhase): Change => ({
  change: { case: "run", value: { phase, startedAt: "2026-01-01T00:00:00Z" } },
});
const say = (messageId: string, text: string, subAgentId = ""): Change[] => [
  {
    change: {
      case: "messageStarted",
      value: { messageId, type: MessageType.MESSAGE_AI, subAgentId, timestamp: "2026-01-01T00:00:01Z" },
    },
  },
  { change: { case: "textAppended", value: { messageId, kind: TextKind.CONTENT, offset: 0, text } } },
  {
    change: { case: "messageUsage", value: { messageId, usage: { model: "m", inputTokens: 1200, outputTokens: 34 } } },
  },
];
const call = (messageId: string, more: object): Change => ({
  change: { case: "toolCall", value: { messageId, call: { startedAt: "2026-01-01T00:00:02Z", ...more } as never } },
});
const done = { status: ToolCallStatus.TOOL_CALL_COMPLETED, completedAt: "2026-01-01T00:00:03.500Z" };

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
  await server.runner(async (report, { metadata, spec }, { signal }) => {
    const id = metadata?.id ?? "";
    await report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), ...say(`${id}-1`, `You said: **${spec?.message}**\n`));
    if (spec?.message === "wait") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      await report(enter(ExecutionPhase.EXECUTION_CANCELLED));
      return;
    }
    if (spec?.message === "ask") {
      const args = { command: "git push\nnow" };
      const approval = { reason: "it goes live" };
      const status = ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL;
      await report(call(`${id}-1`, { id: "call-1", name: "execute", args, status, approval }));
      await report(enter(ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL));
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      return;
    }
    if (spec?.message === "work") {
      await report(
        call(`${id}-1`, { id: "t1", name: "execute", args: { command: "ls" }, result: "a\nb", ...done }),
        call(`${id}-1`, { id: "s1", name: "task", args: {}, result: "5", ...done }),
        {
          change: {
            case: "subAgent",
            value: {
              subAgent: {
                id: "s1",
                name: "counter",
                input: "Count",
                status: SubAgentStatus.SUB_AGENT_COMPLETED,
                startedAt: "2026-01-01T00:00:02Z",
                completedAt: "2026-01-01T00:00:03.500Z",
              },
            },
          },
        },
        ...say(`${id}-2`, "counting", "s1"),
        call(`${id}-2`, {
          id: "t2",
          name: "execute",
          args: { command: "wc" },
          subAgentId: "s1",
          error: "no such file",
          ...done,
          status: ToolCallStatus.TOOL_CALL_FAILED,
        }),
      );
    }
    await report(enter(ExecutionPhase.EXECUTION_COMPLETED));
  });
  const file = join(server.home, "agent.yaml");
  await writeFile(
    file,
    "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: talker }\nspec: { instructions: You talk with people. }\n",
  );
  expect((await server.cli("apply", "-f", file)).code).toBe(0);
});
afterAll(() => server[Symbol.asyncDispose]());

async function start(message: string): Promise<{ executionId: string; sessionId: string }> {
  const { out } = await server.cli("agent", "execute", "talker", message, "--json");
  return JSON.parse(out.split("\n")[0] ?? "") as { executionId: string; sessionId: string };
}

test("a session is shown, continued, listed and deleted", async () => {
  const { executionId, sessionId } = await start("one");
  expect(await server.cli("session", "continue", sessionId, "two")).toMatchObject({
    code: 0,
    out: "You said: **two**\n",
  });
  const shown = await server.cli("session", "show", sessionId);
  expect(shown.out).toContain(
    `## You\n\none\n\n## talker\n\nYou said: **one**\n\n*completed* (\`${executionId}\`)\n\n## You\n\ntwo\n\n## talker`,
  );
  expect((await server.cli("session", "list")).out).toContain(sessionId);
  const refused = await server.cli("session", "delete", sessionId);
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining("say --yes") as string });
  expect(await server.cli("session", "delete", sessionId, "--yes")).toMatchObject({ code: 0 });
  expect(await server.cli("session", "show", sessionId)).toMatchObject({ code: 1, out: "" });
});

test("a chat is one session, and says what it is asked", async () => {
  const chat = await server.start(["chat", "talker"], {
    stdin: "/session\none\n\n/nothing\ntwo\n/cancel\n/session\n/exit\nthree\n",
  }).done;
  expect(chat).toMatchObject({ code: 0, out: "You said: **one**\nYou said: **two**\n" });
  const [, sessionId = ""] = /chat --session (ses-\S+)/.exec(chat.err) ?? [];
  expect(chat.err).toContain("There is no session yet");
  expect(chat.err).toContain("There is no /nothing: /help tells what there is.\n");
  expect(chat.err).toContain(`Nothing is under way.\n${sessionId}\n`);
  const more = await server.start(["chat", "--session", sessionId], { stdin: "three\n" }).done;
  expect(more).toMatchObject({ code: 0, out: "You said: **three**\n" });
  const runs = await server.client.executions.listBySession(sessionId);
  expect(runs.items.map(({ spec }) => spec?.message)).toEqual(["three", "two", "one"]);
});

test("a chat has the sandbox that it began with, which its session shows", async () => {
  const { err } = await server.start(["chat", "talker", "--sandbox", "isolated"], { stdin: "one\ntwo\n" }).done;
  const [, sessionId = ""] = /chat --session (ses-\S+)/.exec(err) ?? [];
  expect((await server.client.executions.listBySession(sessionId)).items).toHaveLength(2);
  expect((await server.cli("session", "show", sessionId)).out).toMatch(/^# one\n\n\*sandbox: isolated\*\n\n## You\n/);
  expect(await server.cli("chat", "--session", sessionId, "--sandbox", "docker")).toMatchObject({
    code: 1,
    err: expect.stringContaining("was made with a sandbox of isolated, not docker") as string,
  });
  const more = await server.start(["chat", "--session", sessionId, "--sandbox", "isolated"], { stdin: "three\n" }).done;
  expect(more).toMatchObject({ code: 0, out: "You said: **three**\n" });
});

test("Ctrl-C in a chat cancels the turn, not the chat", async () => {
  const chat = server.start(["chat", "talker"], { stdin: "wait\nafter\n" });
  await chat.printed("You said: **wait**");
  chat.signal("SIGINT");
  const { code, out, err } = await chat.done;
  expect(code).toBe(0);
  expect(out).toBe("You said: **wait**\nYou said: **after**\n");
  expect(err).toContain("Cancelling…\ncancelled");
});

test("a chat says with whom, and ends where a turn waits for somebody who is not there", async () => {
  expect(await server.cli("chat")).toMatchObject({ code: 2, err: expect.stringContaining("say with whom") as string });
  const { code, err } = await server.start(["chat", "talker"], { stdin: "ask\nmore\n" }).done;
  expect(code).toBe(4);
  expect(err).toContain("Waits for approval: git push");
});

test("get tells which calls wait, and how to decide", async () => {
  const { executionId } = await start("ask");
  const { code, out, err } = await server.cli("execution", "get", executionId);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining("waiting for approval") as string });
  expect(err).toBe(
    `Waits for approval: git push\nnow\n  stigmer execution approve ${executionId} call-1   (or reject, skip)\n`,
  );
  expect((await server.cli("execution", "get", executionId, "-o", "json")).err).toBe("");
});

test("--json tells what waits with all of its arguments", async () => {
  const { code, out } = await server.cli("run", "talker", "ask", "--json");
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string });
  expect(code).toBe(4);
  expect(lines.find(({ type }) => type === "waiting")).toMatchObject({
    calls: [{ toolCallId: "call-1", name: "execute", args: { command: "git push\nnow" }, reason: "it goes live" }],
  });
});

test("the logs of a run have what was said, and each call with arguments and result, in order of time", async () => {
  const { executionId } = await start("work");
  const expected = [
    "2026-01-01T00:00:01Z agent: You said: **work**",
    "2026-01-01T00:00:01Z counter: counting",
    '2026-01-01T00:00:02Z agent: execute {"command":"ls"}',
    '2026-01-01T00:00:02Z counter: execute {"command":"wc"}',
    "2026-01-01T00:00:03.500Z agent: execute → a",
    "2026-01-01T00:00:03.500Z agent: b",
    "2026-01-01T00:00:03.500Z counter: execute ✗ no such file",
  ];
  for (const args of [[], ["--follow"]]) {
    const { code, out } = await server.cli("execution", "logs", executionId, ...args);
    expect(code).toBe(0);
    expect(out.split("\n").filter((line) => expected.includes(line))).toEqual(expected);
    expect(out).toContain("stigmer: run ended\n");
  }
});

test("logs are followed until the run has ended", async () => {
  const { out } = await server.cli("run", "talker", "wait", "--detach");
  const id = out.trim();
  const logs = server.start(["execution", "logs", id, "--follow"]);
  await server.cli("execution", "cancel", id);
  expect((await logs.done).out).toContain("stigmer: run ended");
});

test("the trace of a run is the tree of what it was made of", async () => {
  const { executionId } = await start("work");
  const { out } = await server.cli("execution", "trace", executionId);
  expect(out.split("\n").slice(1)).toEqual([
    "└─ m  at 1.0 s · 1,234 tokens",
    "   ├─ execute ls  completed · at 2.0 s · 1.5 s",
    "   └─ counter: Count  completed · at 2.0 s · 1.5 s",
    "      └─ m  at 1.0 s · 1,234 tokens",
    "         └─ execute wc  failed · at 2.0 s · 1.5 s",
    "",
  ]);
  expect(out).toContain(`${executionId}  completed`);
  const json = JSON.parse((await server.cli("execution", "trace", executionId, "-o", "json")).out) as object;
  expect(json).toMatchObject({
    kind: "run",
    id: executionId,
    spans: [{ kind: "model", tokens: 1234, spans: [{ kind: "tool" }, { kind: "sub-agent" }] }],
  });
});

test("a run that was left is come back to, and cancelled there by a second Ctrl-C", async () => {
  const { out } = await server.cli("run", "talker", "wait", "--detach", "--budget", "0.50");
  const id = out.trim();
  expect((await server.client.executions.get(id)).spec?.executionConfig?.limits?.maxCostUsd).toBe(0.5);
  const attached = server.start(["run", "--attach", id]);
  await attached.printed("You said: **wait**");
  attached.signal("SIGINT");
  await attached.printed("Ctrl-C again");
  attached.signal("SIGINT");
  expect(await attached.done).toMatchObject({ code: 3, out: "You said: **wait**\n" });
  for (const wrong of [["talker"], ["--model", "m"]]) {
    expect(await server.cli("run", "--attach", id, ...wrong)).toMatchObject({ code: 2 });
  }
  expect(await server.cli("run", "talker")).toMatchObject({
    code: 2,
    err: expect.stringContaining("missing required argument 'message'") as string,
  });
});
