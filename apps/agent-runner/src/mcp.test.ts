// MCP servers as an agent's author writes them: real server, real runner, an official MCP server; only the model is scripted.
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toJsonString, type MessageInitShape } from "@bufbuild/protobuf";
import type { AgentSchema } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { McpServerSchema } from "@stigmer/protos/mcpserver/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { header, startPlatform, type Platform } from "./__fixtures__/platform.ts";
import { processesIn } from "./__fixtures__/processes-in.ts";
import { until } from "./__fixtures__/until.ts";

type AgentSpec = Pick<
  Exclude<MessageInitShape<typeof AgentSchema>["spec"], { $typeName: string } | undefined>,
  "mcpServers" | "mcpServerRefs" | "subAgents"
>;

const everything = createRequire(import.meta.url).resolve("@modelcontextprotocol/server-everything/dist/index.js");
const stdio = { command: process.execPath, args: [everything, "stdio"] };
const serverRef = (slug: string): { kind: ApiResourceKind; slug: string } => ({
  kind: ApiResourceKind.mcp_server,
  slug,
});

let platform: Platform;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-mcp-"));
  const ask = (server: string): { name: string; match: object; turns: object[] } => ({
    name: server,
    // The model is offered nothing else of the server.
    match: { human: `ask ${server}`, tools: [`${server}__get-env`, `${server}__get-sum`] },
    turns: [
      {
        toolCalls: [
          { name: `${server}__get-env`, args: {} },
          { name: `${server}__get-sum`, args: { a: 3, b: 4 } },
        ],
      },
      { text: `Sum: {{ result("${server}__get-sum", "is (\\d+)") }}` },
    ],
  });
  platform = await startPlatform({ name: "mcp", scenarios: [ask("own"), ask("shared")] as never });
  await platform.runner();
}, 60_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const enabledTools = ["get-env", "get-sum"];

it("an agent calls the tools of a server of its own, which sees its variables and shows no secret", async () => {
  const agent = await platform.applyAgent({
    instructions: "Ask your server.",
    envSpec: { data: { REGION: { value: "north" } } },
    mcpServers: [
      {
        name: "own",
        enabledTools,
        serverType: {
          case: "stdio",
          value: { ...stdio, envPlaceholders: { TOKEN: "Bearer ${MY_TOKEN}", PLACE: "${REGION}-1", PRICE: "$5" } },
        },
      },
    ],
  });
  const workspaceDir = await mkdtemp(join(folder, "own-"));
  const session = await platform.createSession(agent, { workspaceDir });
  const status = await platform.run({
    sessionId: session.metadata?.id,
    message: "ask own",
    runtimeEnv: { MY_TOKEN: { value: "hunter22-token", isSecret: true } },
  });
  expect(status.error).toBe("");
  expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  const [environment, sum] = status.toolCalls;
  const seen = JSON.parse(environment?.result ?? "") as Record<string, string>;
  expect(seen).toMatchObject({ TOKEN: "Bearer ********", PLACE: "north-1", PRICE: "$5" });
  expect(Object.keys(seen).filter((name) => /^(ANTHROPIC|STIGMER|MODE|REGION|MY_TOKEN)/.test(name))).toEqual([]);
  expect(sum).toMatchObject({
    name: "own__get-sum",
    status: ToolCallStatus.TOOL_CALL_COMPLETED,
    result: "The sum of 3 and 4 is 7.",
    componentMetadata: { componentType: "mcp", componentGroup: "own", metadata: { display: "get-sum" } },
  });
  expect(status.messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content).toBe("Sum: 7");
  expect(toJsonString(AgentExecutionStatusSchema, status)).not.toContain("hunter22");

  // It stays for the session's next turn, and ends with the session.
  expect(await processesIn(workspaceDir)).toBe(1);
  await platform.client.sessions.delete(session.metadata?.id ?? "");
  await until(async () => (await processesIn(workspaceDir)) === 0);
});

it("agents share a server that is a resource, with its tools and its variables unless they say otherwise", async () => {
  await platform.client.mcpServers.apply(
    create(McpServerSchema, {
      ...header,
      kind: "McpServer",
      metadata: { name: "everything" },
      spec: {
        serverType: { case: "stdio", value: stdio },
        defaultEnabledTools: enabledTools,
        envSpec: { data: { LEVEL: { value: "low" }, KEY: { value: "servers-own-key", isSecret: true }, USER_ID: {} } },
      },
    }),
  );
  const agent = await platform.applyAgent({
    instructions: "Ask your server.",
    mcpServerRefs: [{ ref: serverRef("everything"), name: "shared" }],
  });
  const agentId = agent.metadata?.id;
  const without = await platform.run({ agentId, message: "ask shared" });
  expect(without.error).toMatch(
    /^spec\.mcp_server_refs\[0\]: McpServer everything: spec\.env_spec\.data\[USER_ID\]: the MCP server shared needs the variable USER_ID, which has no value: /,
  );
  const status = await platform.run({
    agentId,
    message: "ask shared",
    runtimeEnv: { USER_ID: { value: "u-1" }, LEVEL: { value: "high" }, OTHER: { value: "x" } },
  });
  expect(status.error).toBe("");
  const seen = JSON.parse(status.toolCalls[0]?.result ?? "") as Record<string, string>;
  expect(seen).toMatchObject({ LEVEL: "high", KEY: "********", USER_ID: "u-1" });
  expect(seen).not.toHaveProperty("OTHER");
});

describe("a run fails before the model is asked, and says which field is to be corrected, when", () => {
  it.each<[string, AgentSpec, RegExp]>([
    [
      "a program is not there",
      { mcpServers: [{ name: "x", serverType: { case: "stdio", value: { command: "no-such-program" } } }] },
      /^spec\.mcp_servers\[0\]\.stdio\.command: the MCP server x can't be used: the command no-such-program was not found/,
    ],
    [
      "an address does not answer",
      { mcpServers: [{ name: "x", serverType: { case: "http", value: { url: "http://127.0.0.1:2/mcp" } } }] },
      /^spec\.mcp_servers\[0\]\.http\.url: the MCP server x can't be used: fetch failed: .*ECONNREFUSED/,
    ],
    [
      "a variable has no value",
      {
        mcpServers: [
          {
            name: "x",
            serverType: { case: "http", value: { url: "http://h/", headers: { authorization: "Bearer ${NOPE}" } } },
          },
        ],
      },
      /^spec\.mcp_servers\[0\]\.http\.headers\[authorization\]: the MCP server x needs the variable NOPE, which has no value: set it in /,
    ],
    [
      "a server does not say how it is reached",
      { mcpServers: [{ name: "x" }] },
      /^spec\.mcp_servers\[0\]: the MCP server x says neither stdio nor http nor docker/,
    ],
    [
      "a tool does not exist",
      { mcpServers: [{ name: "x", enabledTools: ["echo", "ecco"], serverType: { case: "stdio", value: stdio } }] },
      /^spec\.mcp_servers\[0\]\.enabled_tools\[1\]: the MCP server x has no tool ecco\. It has: echo, /,
    ],
    [
      "a resource does not exist",
      { mcpServerRefs: [{ ref: serverRef("no-such-server") }] },
      /^spec\.mcp_server_refs\[0\]\.ref: MCP server "no-such-server": /,
    ],
    [
      "a sub-agent wants a server that its agent does not have",
      {
        mcpServers: [{ name: "x", serverType: { case: "stdio", value: stdio } }],
        subAgents: [
          { name: "s", description: "d", instructions: "Do what you are told.", mcpServers: ["x"] },
          { name: "t", description: "d", instructions: "Do what you are told.", mcpServers: ["x", "y"] },
        ],
      },
      /^spec\.sub_agents\[1\]\.mcp_servers\[1\]: the agent has no MCP server y\. It has: x\./,
    ],
  ])("%s", async (_, spec, message) => {
    const agent = await platform.applyAgent({ instructions: "Ask your server.", ...spec }, "broken");
    const status = await platform.run({ agentId: agent.metadata?.id, message: "ask own" });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.error).toMatch(message);
    expect(status.messages.at(-1)).toMatchObject({ type: MessageType.MESSAGE_SYSTEM, content: status.error });
    expect(status.usage?.modelCalls ?? 0).toBe(0);
  });
});

it("a runner that is killed leaves no server behind", { timeout: 90_000 }, async () => {
  const doomed = await platform.runner();
  const agent = await platform.applyAgent({
    instructions: "Ask your server.",
    mcpServers: [{ name: "own", enabledTools, serverType: { case: "stdio", value: stdio } }],
  });
  const folders: string[] = [];
  const runs = (): number => doomed.output().match(/"agent is ready"/g)?.length ?? 0;
  const servers = async (): Promise<number> => {
    const counts = await Promise.all(folders.map(processesIn));
    return counts.reduce((a, b) => a + b, 0);
  };
  // Either runner may take a run.
  while (runs() === 0) {
    const workspaceDir = await mkdtemp(join(folder, "left-"));
    folders.push(workspaceDir);
    const session = await platform.createSession(agent, { workspaceDir });
    await platform.run({ sessionId: session.metadata?.id, message: "ask own" });
  }
  expect(await servers()).toBe(folders.length);
  doomed.process.kill("SIGKILL");
  await until(async () => (await servers()) === folders.length - runs());
});
