import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StructuredTool } from "@langchain/core/tools";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call } from "./__fixtures__/call.ts";
import { moodyServer, shellServer, testConnections } from "./__fixtures__/servers.ts";
import type { McpConnections, McpToolset } from "./mcp-connections.ts";

let directory: string;
let connections: McpConnections;

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "mcp-")));
  connections = testConnections({ backoffMs: 1 });
});

afterEach(async () => {
  await connections.close();
  await rm(directory, { recursive: true });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("a server's tools", () => {
  it("are called by server and tool, with what the server says of them", async () => {
    const toolset = await connections.open({ sessionId: "s", directory, servers: [shellServer("my shell")] });
    const { tools } = toolset;
    expect(tools.map(({ name, description }) => [name, description])).toEqual([
      ["my_shell__ping", "Says pong."],
      ["my_shell__who", "Says who it is."],
    ]);
    expect(tools[0]?.metadata).toEqual({ annotations: { readOnlyHint: true } });
    expect(await call(toolset, "my_shell__ping")).toBe("pong");
  });

  it("are narrowed, for the agent and further for a sub-agent", async () => {
    const servers = [shellServer("a"), shellServer("b", { enabledTools: ["ping"] })];
    const toolset = await connections.open({ sessionId: "s", directory, servers });
    const names = (tools: readonly StructuredTool[]): string[] => tools.map(({ name }) => name);
    expect(names(toolset.tools)).toEqual(["a__ping", "a__who", "b__ping"]);
    const field = "spec.sub_agents[2]";
    expect(names(toolset.toolsFor({ field, servers: [] }))).toEqual([]);
    expect(names(toolset.toolsFor({ field, servers: ["b", "a"], tools: { a: ["who"], b: [] } }))).toEqual([
      "b__ping",
      "a__who",
    ]);
    expect(() => toolset.toolsFor({ field, servers: ["a", "c"] })).toThrow(
      "spec.sub_agents[2].mcp_servers[1]: the agent has no MCP server c. It has: a, b.",
    );
    expect(() => toolset.toolsFor({ field, servers: ["b"], tools: { b: ["who"] } })).toThrow(
      "spec.sub_agents[2].mcp_tool_selections[b].enabled_tools[0]: the agent has no tool who of the MCP server b. It has: ping.",
    );
    expect(() => toolset.toolsFor({ field, servers: ["b"], tools: { a: [] } })).toThrow(
      "spec.sub_agents[2].mcp_tool_selections[a]: a is not among its mcp_servers: b.",
    );
  });

  it("that don't exist can't be enabled", async () => {
    const server = shellServer("shell", { field: "spec.mcp_servers[3]", enabledTools: ["ping", "pong"] });
    await expect(connections.open({ sessionId: "s", directory, servers: [server] })).rejects.toMatchObject({
      code: "mcp-server",
      message: "spec.mcp_servers[3].enabled_tools[1]: the MCP server shell has no tool pong. It has: ping, who.",
    });
  });

  it("of two servers have names of their own", async () => {
    const twins = { sessionId: "s", directory, servers: [shellServer("a"), shellServer("a")] };
    await expect(connections.open(twins)).rejects.toThrow("two MCP servers of the name a");
    const alike = { sessionId: "s", directory, servers: [shellServer("a b"), shellServer("a_b")] };
    await expect(connections.open(alike)).rejects.toThrow("two tools are called a_b__ping");
  });

  it("are asked for anew once the server says that they changed", async () => {
    const request = { sessionId: "s", directory, servers: [moodyServer("moody")] };
    const first = await connections.open(request);
    expect(first.tools.map(({ name }) => name)).not.toContain("moody__learned");
    expect(await call(first, "moody__learn")).toBe("learned one");
    first.release();
    await expect
      .poll(async () => {
        const next = await connections.open(request);
        next.release();
        return next.tools.map(({ name }) => name);
      })
      .toContain("moody__learned");
  });
});

describe("results", () => {
  it("are plain text and images, once", async () => {
    const toolset = await connections.open({ sessionId: "s", directory, servers: [moodyServer("m")] });
    expect(await call(toolset, "m__weather")).toBe('{"degrees":21}');
    expect(await call(toolset, "m__mute-weather")).toBe('{"degrees":21}');
    expect(await call(toolset, "m__image")).toEqual([
      { type: "text", text: "one pixel" },
      { type: "image_url", image_url: { url: expect.stringMatching(/^data:image\/png;base64,iVBOR/) } },
    ]);
    expect(await call(toolset, "m__page")).toEqual([
      { type: "text", text: "the note's text" },
      { type: "text", text: "[Resource second: note://2]" },
      { type: "text", text: "[Audio of type audio/wav, 3 bytes, can't be shown here.]" },
    ]);
    expect(await call(toolset, "m__fail")).toBe("failed: no such note");
  });

  it("and errors are masked", async () => {
    const mask = (text: string): string => text.replaceAll("hunter22", "********");
    const servers = [moodyServer("m", { env: { TOKEN: "hunter22" } })];
    const toolset = await connections.open({ sessionId: "s", directory, servers, mask });
    expect(await call(toolset, "m__env", { name: "TOKEN" })).toBe("TOKEN=********");
    expect(await call(toolset, "m__env", { name: "hunter22" })).toBe("********=undefined");
    const bad = { ...shellServer("b"), command: "/no/hunter22" };
    await expect(connections.open({ sessionId: "s", directory, servers: [bad], mask })).rejects.toThrow(
      "the command /no/******** was not found",
    );
  });
});

describe("a program", () => {
  it("runs in the session's directory with what is declared for it, and nothing of this process's keys", async () => {
    process.env["ANTHROPIC_API_KEY"] = "runner's own";
    try {
      await mkdir(join(directory, "deep"));
      const servers = [
        shellServer("here", { env: { TOKEN: "t-1" } }),
        shellServer("there", { cwd: "deep" }),
        shellServer("else", { cwd: tmpdir() }),
      ];
      const toolset = await connections.open({ sessionId: "s", directory, servers });
      expect(await call(toolset, "here__who")).toMatch(`in ${directory}, token=t-1, key=`);
      expect(await call(toolset, "here__who")).not.toContain("runner");
      expect(await call(toolset, "there__who")).toMatch(`in ${directory}/deep, token=, key=`);
      expect(await call(toolset, "else__who")).toMatch(`in ${await realpath(tmpdir())}, `);
    } finally {
      delete process.env["ANTHROPIC_API_KEY"];
    }
  });

  it.each([
    [
      "does not exist",
      { command: "no-such-program" },
      /^spec\.mcp_servers\[0\]\.stdio\.command: the MCP server x can't be used: the command no-such-program was not found: .*no-such-program/,
    ],
    ["is no program", { command: "/etc/passwd" }, /\.stdio\.command: .* the command \/etc\/passwd can't be executed/],
    [
      "fails",
      { command: "sh", args: ["-c", "echo no licence >&2; exit 4"] },
      /\.stdio\.command: .* it ended with exit code 4: no licence\.$/,
    ],
    ["has nowhere to run", { command: "sh", cwd: "nowhere" }, /\.stdio\.working_dir: .*\/nowhere is not a directory/],
  ])("that %s can't be used, and says why", async (_, description, message) => {
    const server = { type: "stdio", name: "x", field: "spec.mcp_servers[0]", ...description } as const;
    const opened = connections.open({ sessionId: "s", directory, servers: [server] });
    await expect(opened).rejects.toMatchObject({ code: "mcp-server", message: expect.stringMatching(message) });
  });

  it("that speaks of other things can't be used, and says why", async () => {
    const impatient = testConnections({ connectTimeoutMs: 500 });
    const server = { type: "stdio", name: "x", command: "sh", args: ["-c", "echo Welcome!; sleep 100"] } as const;
    await expect(impatient.open({ sessionId: "s", directory, servers: [server] })).rejects.toThrow(
      "it gave no answer by the Model Context Protocol within 0.5 s; it printed: Welcome!.",
    );
    await impatient.close();
  });

  it("that prints its log among its answers is understood", async () => {
    const { args = [], ...server } = shellServer("chatty");
    const chatty = { ...server, args: ["-c", `echo starting...; exec sh ${args[0]}`] };
    expect(await call(await connections.open({ sessionId: "s", directory, servers: [chatty] }), "chatty__ping")).toBe(
      "pong",
    );
  });
});

describe("a call", () => {
  it("that kills the server fails, and the next one starts it again", async () => {
    const toolset = await connections.open({ sessionId: "s", directory, servers: [moodyServer("m")] });
    const before = await call(toolset, "m__pid");
    for (let round = 0; round < 3; round += 1) {
      expect(await call(toolset, "m__crash")).toBe(
        "failed: The MCP server m was lost while it ran crash: it ended with exit code 3: out of luck. " +
          "What the call did is not known. The next call starts it again.",
      );
    }
    const after = await call(toolset, "m__pid");
    expect(Number(after)).toBeGreaterThan(0);
    expect(after).not.toBe(before);
  });

  it("finds the server dead and starts it again", async () => {
    const toolset = await connections.open({ sessionId: "s", directory, servers: [moodyServer("m")] });
    const pid = Number(await call(toolset, "m__pid"));
    process.kill(pid, "SIGKILL");
    await expect.poll(() => isAlive(pid)).toBe(false);
    expect(Number(await call(toolset, "m__pid"))).not.toBe(pid);
  });

  it("fails as long as the server does not come back", async () => {
    const { args = [], ...server } = moodyServer("m");
    const once = {
      ...server,
      command: "sh",
      args: ["-c", `mkdir started || exit 9; exec "$0" "$@"`, server.command, ...args],
    };
    const toolset = await connections.open({ sessionId: "s", directory, servers: [once] });
    await call(toolset, "m__crash");
    for (let round = 0; round < 2; round += 1) {
      expect(await call(toolset, "m__pid")).toMatch(
        /^failed: The MCP server m can't be reached: it ended with exit code 9: mkdir:/,
      );
    }
    await rm(join(directory, "started"), { recursive: true });
    expect(Number(await call(toolset, "m__pid"))).toBeGreaterThan(0);
  });

  it("is closed by an abort, and the connection goes on", async () => {
    const toolset = await connections.open({ sessionId: "s", directory, servers: [moodyServer("m")] });
    const pid = await call(toolset, "m__pid");
    const stop = new AbortController();
    const hanging = call(toolset, "m__hang", {}, stop.signal);
    stop.abort(new Error("enough"));
    expect(await hanging).toMatch(/enough|abort/i);
    expect(await call(toolset, "m__pid")).toBe(pid);
  });

  it("is given up when it says nothing for too long", async () => {
    const impatient = testConnections({ callTimeoutMs: 300 });
    const toolset = await impatient.open({ sessionId: "s", directory, servers: [moodyServer("m")] });
    expect(await call(toolset, "m__hang")).toBe(
      "failed: The MCP server m gave no answer to hang within 0.3 s. What the call did is not known.",
    );
    await impatient.close();
  });
});

describe("a connection", () => {
  const pidOf = async (toolset: McpToolset): Promise<number> => {
    const pid = /^pid (\d+)/.exec(String(await call(toolset, "a__who")))?.[1];
    return Number(pid);
  };

  it("is shared by a session's runs, and by nobody with other variables or of another session", async () => {
    const open = (sessionId: string, token: string): Promise<McpToolset> =>
      connections.open({ sessionId, directory, servers: [shellServer("a", { env: { TOKEN: token } })] });
    const first = await open("s", "1");
    const pid = await pidOf(first);
    first.release();
    const second = await open("s", "1");
    expect(await pidOf(second)).toBe(pid);
    const other = await open("t", "1");
    expect(await pidOf(other)).not.toBe(pid);
    second.release();
    second.release();
    expect(await pidOf(await open("s", "2"))).not.toBe(pid);
    // With the variables of an earlier run.
    await expect.poll(() => isAlive(pid)).toBe(false);
    await connections.closeSession("s");
    expect(isAlive(await pidOf(other))).toBe(true);
  });

  it("that no run uses is closed after a while, not one that is in use", async () => {
    const brief = testConnections({ idleTimeoutMs: 30 });
    const servers = [shellServer("a")];
    const toolset = await brief.open({ sessionId: "s", directory, servers });
    const pid = await pidOf(toolset);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await pidOf(toolset)).toBe(pid);
    toolset.release();
    await expect.poll(() => isAlive(pid)).toBe(false);
    await brief.close();
  });

  it("ends with the session, its process too when that does not want to", async () => {
    const deaf = shellServer("a", { args: ["deaf"] });
    const pid = await pidOf(await connections.open({ sessionId: "s", directory, servers: [deaf] }));
    await connections.closeSession("s");
    expect(isAlive(pid)).toBe(false);
    const again = await pidOf(await connections.open({ sessionId: "s", directory, servers: [deaf] }));
    await connections.close();
    expect(isAlive(again)).toBe(false);
    await expect(connections.open({ sessionId: "s", directory, servers: [deaf] })).rejects.toThrow("are closed");
  });
});
