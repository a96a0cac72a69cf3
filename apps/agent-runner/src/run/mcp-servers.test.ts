import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AgentSchema, type Agent } from "@stigmer/protos/agent/v1";
import { McpServerSchema } from "@stigmer/protos/mcpserver/v1";
import { describe, expect, it } from "vitest";
import { mcpSelectionOf, mcpServersOf, refusePrograms } from "./mcp-servers.ts";

type AgentSpec = MessageInitShape<typeof AgentSchema>["spec"];

const agentOf = (spec: AgentSpec): Agent => create(AgentSchema, { metadata: { org: "local" }, spec });
const layers = [{ HOST: { value: "h.example.com", isSecret: false }, KEY: { value: "k-1", isSecret: true } }];

describe("a server of the agent's own", () => {
  it("over HTTP has its variables in address, headers and query", () => {
    const value = {
      url: "https://${HOST}/mcp",
      headers: { authorization: "Bearer ${KEY}" },
      queryParams: { at: "${HOST}", price: "$5 ${}" },
      timeoutSeconds: 7,
    };
    const agent = agentOf({ mcpServers: [{ name: "a", enabledTools: ["t"], serverType: { case: "http", value } }] });
    expect(mcpServersOf(agent, [], layers).servers).toEqual([
      {
        type: "http",
        name: "a",
        field: "spec.mcp_servers[0]",
        enabledTools: ["t"],
        url: "https://h.example.com/mcp",
        headers: { authorization: "Bearer k-1" },
        query: { at: "h.example.com", price: "$5 ${}" },
        timeoutMs: 7000,
      },
    ]);
  });

  it("in a container has all that is said of it, its arguments as they are", () => {
    const value = {
      image: "tools:1",
      args: ["--key", "${KEY}"],
      envPlaceholders: { TOKEN: "${KEY}" },
      volumes: [{ hostPath: "/data", containerPath: "/d", readOnly: true }],
      network: "lab",
      ports: [{ hostPort: 8080, containerPort: 80 }],
      containerName: "box",
    };
    const agent = agentOf({ mcpServers: [{ name: "a", serverType: { case: "docker", value } }] });
    expect(mcpServersOf(agent, [], layers).servers).toEqual([
      {
        type: "docker",
        name: "a",
        field: "spec.mcp_servers[0]",
        enabledTools: [],
        image: "tools:1",
        args: ["--key", "${KEY}"],
        env: { TOKEN: "k-1" },
        volumes: [{ hostPath: "/data", containerPath: "/d", readOnly: true }],
        network: "lab",
        ports: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
        containerName: "box",
      },
    ]);
  });
});

describe("a server that is a resource", () => {
  const server = create(McpServerSchema, {
    metadata: { slug: "shared" },
    spec: {
      serverType: { case: "stdio", value: { command: "serve", workingDir: "sub" } },
      defaultEnabledTools: ["one"],
      envSpec: { data: { KEY: { value: "default" }, OWN: { value: "own-secret", isSecret: true } } },
    },
  });

  it("has its defaults below the run's variables, and no others of them", () => {
    const agent = agentOf({ mcpServerRefs: [{ ref: { slug: "shared" } }] });
    expect(mcpServersOf(agent, [server], layers)).toEqual({
      servers: [
        {
          type: "stdio",
          name: "shared",
          field: "spec.mcp_server_refs[0]: McpServer shared: spec",
          enabledTools: ["one"],
          enabledToolsField: "spec.mcp_server_refs[0]: McpServer shared: spec.default_enabled_tools",
          command: "serve",
          args: [],
          cwd: "sub",
          env: { KEY: "k-1", OWN: "own-secret" },
        },
      ],
      secrets: ["k-1", "own-secret"],
    });
  });

  it("is called and narrowed as the reference says", () => {
    const agent = agentOf({ mcpServerRefs: [{ ref: { slug: "shared" }, name: "mine", enabledTools: ["two"] }] });
    expect(mcpServersOf(agent, [server], layers).servers[0]).toMatchObject({
      name: "mine",
      enabledTools: ["two"],
      enabledToolsField: "spec.mcp_server_refs[0].enabled_tools",
    });
  });
});

it("a sub-agent's choice keeps its place in the manifest", () => {
  const agent = agentOf({
    subAgents: [{ name: "s", mcpServers: ["a", "b"], mcpToolSelections: { b: { enabledTools: ["t"] } } }],
  });
  expect(agent.spec?.subAgents.map(mcpSelectionOf)).toEqual([
    { field: "spec.sub_agents[0]", servers: ["a", "b"], tools: { b: ["t"] } },
  ]);
});

describe("where organisations share runners", () => {
  const http = { name: "web", serverType: { case: "http", value: { url: "https://h.example.com/mcp" } } } as const;

  it.each([
    ["program", { case: "stdio", value: { command: "node" } }],
    ["container", { case: "docker", value: { image: "tools:1" } }],
  ] as const)("a %s beside the runner is refused, and says who can allow it", (what, serverType) => {
    const { servers } = mcpServersOf(agentOf({ mcpServers: [http, { name: "own", serverType }] }), [], layers);
    expect(() => refusePrograms(servers)).toThrow(
      new RegExp(`^spec\\.mcp_servers\\[1\\]: the MCP server own is a ${what} .*STIGMER_CLOUD_MCP_PROGRAMS=allow`),
    );
  });

  it("a service is not", () => {
    expect(() => refusePrograms(mcpServersOf(agentOf({ mcpServers: [http] }), [], layers).servers)).not.toThrow();
  });
});
