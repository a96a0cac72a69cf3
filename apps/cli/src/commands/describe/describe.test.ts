import { ExecutionPhase, MessageType, TextKind, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import { ApprovalAction } from "@stigmer/protos/agent/v1";
import { zipSync } from "fflate";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, startLocalServer } from "../../__fixtures__/local-server.ts";
import { beginning, layOut } from "./layout.ts";

const startedAt = "2026-01-01T00:00:00Z";
const completedAt = "2026-01-01T00:00:02Z";

let server: LocalServer;
let agentId: string;
let instanceId: string;
let sessionId: string;
let executionId: string;

beforeAll(async () => {
  server = await startLocalServer();
  const { client } = server;
  const data = {
    TOKEN: { value: "hunter2-token", isSecret: true, description: "of the forge" },
    REGION: { value: "eu" },
  };
  await client.environments.create({ name: "staging", description: "Where we try things.", data });
  await client.mcpServers.create({
    name: "notes",
    serverType: { case: "http", value: { url: "http://127.0.0.1:9/mcp", headers: { authorization: "${TOKEN}" } } },
  });
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const skillMd = "---\nname: house-style\ndescription: How we write.\nlicense: MIT\n---\nPresent tense.\n";
  const artifact = zipSync({ "SKILL.md": bytes(skillMd), "scripts/check.sh": bytes("exit 0\n") });
  await client.skills.push({ name: "house-style", artifact, tag: "stable" });
  const agent = await client.agents.create({
    name: "Code Reviewer",
    labels: { team: "core" },
    description: "Reviews what it is shown.",
    instructions: Array.from({ length: 12 }, (_, line) => `Rule ${line + 1} of the house.`).join("\n"),
    modelName: "claude-sonnet-4-5",
    tools: ["ls", "read_file"],
    skillRefs: [{ kind: 43, slug: "house-style", version: "stable" }],
    mcpServerRefs: [{ ref: { kind: 44, slug: "notes" } }],
    mcpServers: [{ name: "disk", serverType: { case: "stdio", value: { command: "npx", args: ["-y", "disk"] } } }],
    subAgents: [{ name: "helper", description: "Looks things up.", instructions: "Look it up and say so." }],
    approvalPolicy: {
      rules: [{ commands: ["git push*"], action: ApprovalAction.ASK, reason: "Others see it." }],
      otherwise: ApprovalAction.ALLOW,
    },
    limits: { maxToolCalls: 50 },
    envSpec: { data: { KEY: { value: "hunter3-token", isSecret: true }, LATER: { value: "" } } },
  });
  agentId = agent.metadata?.id ?? "";
  instanceId = agent.status?.defaultInstanceId ?? "";
  await client.agentInstances.create({ name: "on-staging", agentId, environmentRefs: [{ kind: 53, slug: "staging" }] });
  await server.runner(async (report) => {
    await report(
      { change: { case: "run", value: { phase: ExecutionPhase.EXECUTION_IN_PROGRESS } } },
      { change: { case: "messageStarted", value: { messageId: "m", type: MessageType.MESSAGE_AI } } },
      {
        change: {
          case: "textAppended",
          value: { messageId: "m", kind: TextKind.CONTENT, offset: 0, text: "All of it is well." },
        },
      },
      {
        change: {
          case: "toolCall",
          value: {
            messageId: "m",
            call: {
              id: "t1",
              name: "execute",
              args: { command: "git log" },
              status: ToolCallStatus.TOOL_CALL_COMPLETED,
              startedAt,
              completedAt,
            },
          },
        },
      },
      { change: { case: "run", value: { phase: ExecutionPhase.EXECUTION_COMPLETED, startedAt, completedAt } } },
    );
  });
  const run = await server.cli(
    "run",
    "code-reviewer",
    "Review the \u001b[31mlast change.",
    "--detach",
    "--env",
    "A=b",
    "--sandbox",
    "isolated",
  );
  executionId = /aex-[0-9a-z]{26}/.exec(run.out)?.[0] ?? "";
  expect(executionId, run.err).not.toBe("");
  await server.start(["execution", "watch", executionId]).done;
  sessionId = (await client.executions.get(executionId)).spec?.sessionId ?? "";
});
afterAll(() => server[Symbol.asyncDispose]());

async function describe(kind: string, name: string): Promise<string> {
  const { code, out, err } = await server.cli("describe", kind, name);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  // Columns are as wide as what is in them, and ids and ages differ.
  return out.replaceAll(/ {2,}(?=\S)/g, (spaces, at: number) => (out[at - 1] === "\n" ? spaces : " ~ "));
}

test("an agent", async () => {
  const out = await describe("agent", "code-reviewer");
  for (const part of [
    "Kind: ~ Agent\n",
    "Name: ~ Code Reviewer\n",
    "Slug: ~ code-reviewer\n",
    `ID: ~ ${agentId}\n`,
    "Labels: ~ team=core\n",
    "Description: ~ Reviews what it is shown.\n",
    "Model: ~ claude-sonnet-4-5\n",
    "Tools: ~ ls, read_file\n",
    "Skills: ~ house-style@stable\n",
    "Limits: ~ maxToolCalls 50\n",
    "\nInstructions:\n  Rule 1 of the house.\n",
    "  Rule 8 of the house.\n  … 4 more lines\n",
    "\nMCP servers:\n",
    "  disk ~ stdio ~ npx -y disk ~ all\n",
    "  notes ~ mcpserver ~ notes ~ its default\n",
    "  helper ~ Looks things up.\n",
    '  ask ~ "git push*" ~ Others see it.\n',
    "  allow ~ everything else\n",
    "  KEY ~ ******** ~ secret\n",
    "  LATER ~ (to be set)\n",
    `  code-reviewer-default (default) ~ ${instanceId}\n`,
    " ~ staging\n",
    `  ${executionId} ~ completed ~ `,
    " ~ Review the last change.\n",
  ]) {
    expect(out).toContain(part);
  }
  expect(out).toMatch(/^Created: ~ 20\S+ \(\d+s ago, by \S+\)$/m);
  expect(out).not.toContain("Changed:");
  expect(out).not.toContain("hunter");
});

test("an instance", async () => {
  const out = await describe("instance", "on-staging");
  expect(out).toContain(`Agent: ~ code-reviewer (${agentId})\n`);
  expect(out).toContain("Environments: ~ staging\n");
  const standard = await describe("instance", instanceId);
  expect(standard).toContain(`\nLatest sessions:\n`);
  expect(standard).toContain(sessionId);
});

test("a session", async () => {
  const out = await describe("session", sessionId);
  expect(out).toContain(`Agent: ~ code-reviewer (${agentId})\n`);
  expect(out).toContain(`Instance: ~ code-reviewer-default (${instanceId})\n`);
  expect(out).toContain("Sandbox type: ~ isolated\n");
  expect(out).toContain(`  ${executionId} ~ completed`);
});

test("a run", async () => {
  const out = await describe("run", executionId);
  for (const part of [
    "Phase: ~ completed\n",
    `Session: ~ ${sessionId}\n`,
    "\nMessage:\n  Review the last change.\n",
    "  A ~ b\n",
    "  t1 ~ completed ~ 2.0 s ~ git log\n",
    "\nLast words:\n  All of it is well.\n",
    "\nUsed:\n  completed in 2.0 s\n",
  ]) {
    expect(out).toContain(part);
  }
});

test("an environment, without the values of its secrets", async () => {
  const out = await describe("environment", "staging");
  expect(out).toContain("  REGION ~ eu\n");
  expect(out).toContain("  TOKEN ~ ******** ~ secret ~ of the forge\n");
  expect(out).not.toContain("hunter");
});

test("a skill, with its files", async () => {
  const out = await describe("skill", "house-style");
  for (const part of [
    "License: ~ MIT\n",
    "Tag: ~ stable\n",
    "  scripts/check.sh ~ 7 B\n",
    "SKILL.md:\n  Present tense.\n",
  ]) {
    expect(out).toContain(part);
  }
});

test("an MCP server, without the values of its headers", async () => {
  const out = await describe("mcpserver", "notes");
  expect(out).toContain("URL: ~ http://127.0.0.1:9/mcp\n");
  expect(out).toContain("Headers: ~ authorization\n");
});

test("what is not there", async () => {
  expect(await server.cli("describe", "agent", "nobody")).toMatchObject({
    code: 1,
    err: 'There is no agent "nobody": list them with `stigmer list agents`\n',
  });
});

test("sections with nothing to say are left out, and escape sequences do nothing", () => {
  const text = layOut([
    { fields: { A: "", Bee: "one\ntwo \u001b[2J" } },
    { title: "Nothing", text: "" },
    { title: "None", head: ["X"], rows: [] },
    { title: "Text", text: "a\n\nb\n" },
    { title: "Table", head: ["X"], rows: [["y"]] },
  ]);
  expect(text).toBe("Bee:  one two \n\nText:\n  a\n\n  b\n\nTable:\n  X\n  y\n");
  expect(beginning("1\n2\n3", 3)).toBe("1\n2\n3");
  expect(beginning("1\n2\n3\n", 2)).toBe("1\n2\n… 1 more line");
});
