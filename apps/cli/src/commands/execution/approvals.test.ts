import { PassThrough } from "node:stream";
import { create } from "@bufbuild/protobuf";
import type { ApprovalAnswer, StigmerClient } from "@stigmer/client";
import { ToolCallSchema } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { askAboutCalls } from "./approvals.ts";

const call = create(ToolCallSchema, {
  id: "call-1",
  name: "execute",
  args: { command: "git push\u001b[2K" },
  approval: { reason: "it goes live" },
});
const other = create(ToolCallSchema, { id: "call-2", name: "github__merge", args: { pr: 7 } });

async function answerWith(lines: readonly string[]): Promise<{ answers: ApprovalAnswer[]; shown: string }> {
  const answers: ApprovalAnswer[] = [];
  const stdin = new PassThrough();
  const stderr = new PassThrough();
  let shown = "";
  const left = [...lines];
  stderr.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
    // Each question is answered when it is asked.
    if (/[:?] $/.test(text) && left.length > 0) stdin.write(`${left.shift()}\n`);
  });
  const executions = {
    resolveApproval: async (_id: string, _call: string, answer: ApprovalAnswer) => void answers.push(answer),
  };
  const client = { executions } as unknown as StigmerClient;
  const asked = { client, executionId: "aex-1", signal: new AbortController().signal };
  const io = { stdin, stderr, stdout: stderr, env: {}, cwd: "/", onSignal: () => () => {} };
  await askAboutCalls(asked, [call, other], io);
  return { answers, shown };
}

it("shows what is asked, in full and harmless, and sends what is answered", async () => {
  const { answers, shown } = await answerWith(["a", "n", "not today"]);
  expect(answers).toEqual([
    { decision: "approve", forSession: true },
    { decision: "reject", reason: "not today" },
  ]);
  expect(shown).toContain("\ngit push\n  asked because: it goes live\n");
  expect(shown).toContain('github__merge {"pr":7}');
});

it("takes other arguments, and asks again where an answer can't be read", async () => {
  const { answers } = await answerWith(["what", "e", "git status", "e", "no JSON", "e", '{"pr":8}']);
  expect(answers).toEqual([
    { decision: "edit", args: { command: "git status" } },
    { decision: "edit", args: { pr: 8 } },
  ]);
});
