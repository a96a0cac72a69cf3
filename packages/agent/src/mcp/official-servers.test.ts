// The official servers, in the real graph: what the model is offered, what it reads, what a watcher sees.
import { readFileSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";
import type { ToolCallIntent } from "../ledger/tool-call-ledger.ts";
import {
  everythingServer,
  filesystemServer,
  moodyServer,
  startEverythingHttp,
  testConnections,
} from "./__fixtures__/servers.ts";
import type { McpConnections } from "./mcp-connections.ts";

let connections: McpConnections;
let bench: Workbench | undefined;
let directory: string | undefined;

beforeEach(() => {
  connections = testConnections();
});

afterEach(async () => {
  await connections.close();
  await bench?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true });
  [bench, directory] = [undefined, undefined];
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it("work side by side in one run: files over stdio, the rest over HTTP", async () => {
  await using http = await startEverythingHttp(await freePort());
  directory = await realpath(await mkdtemp(join(tmpdir(), "mcp-")));
  const work = join(directory, "work");
  bench = await openWorkbench(
    [
      // Models take images from people: it comes as the last message of one.
      { name: "seen", match: { human: "The image that every__get-tiny-image returned" }, turns: [{ text: "Done." }] },
      {
        name: "main",
        turns: [
          {
            toolCalls: [
              { name: "files__write_file", args: { path: join(work, "a.txt"), content: "seven" } },
              { name: "every__get-sum", args: { a: 3, b: 4 } },
              { name: "every__get-structured-content", args: { location: "New York" } },
            ],
          },
          { toolCalls: [{ name: "files__read_text_file", args: { path: join(work, "a.txt") } }] },
          { toolCalls: [{ name: "files__read_text_file", args: { path: "/etc/passwd" } }] },
          { toolCalls: [{ name: "every__get-tiny-image", args: {} }] },
        ],
      },
    ],
    directory,
  );
  const { tools } = await connections.open({
    sessionId: "s",
    directory: work,
    servers: [filesystemServer("files", work), { type: "http", name: "every", url: http.url }],
  });
  const begun: ToolCallIntent[] = [];
  const inner = createMemoryLedger();
  const agent = await bench.agent({
    tools,
    ledger: {
      begin(intent, signal) {
        begun.push(intent);
        return inner.begin(intent, signal);
      },
      finish: inner.finish,
    },
  });
  const events = await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  expect(answer(events)).toBe("Done.");
  expect(readFileSync(join(work, "a.txt"), "utf8")).toBe("seven");
  const results = toolResults(events).map(({ name, status, content }) => [name, status, content]);
  expect(results.toSorted()).toEqual(
    [
      ["files__write_file", "success", expect.stringMatching(/^Successfully wrote to/)],
      ["every__get-sum", "success", "The sum of 3 and 4 is 7."],
      ["every__get-tiny-image", "success", expect.stringContaining("image")],
      ["every__get-structured-content", "success", expect.stringMatching(/^\{"temperature":33,/)],
      ["files__read_text_file", "success", "seven"],
      ["files__read_text_file", "error", expect.stringMatching(/^Error: Access denied/)],
    ].toSorted((a, b) => (String(a) < String(b) ? -1 : 1)),
  );
  // Reading changes nothing; so it says of itself, and so the ledger takes it.
  expect(new Map(begun.map(({ toolName, toolClass }) => [toolName, toolClass]))).toEqual(
    new Map([
      ["files__write_file", "repeatable"],
      ["every__get-sum", "repeatable"],
      ["every__get-tiny-image", "repeatable"],
      ["every__get-structured-content", "repeatable"],
      ["files__read_text_file", "repeatable"],
    ]),
  );
  // The image is sent to the model once.
  const last = JSON.stringify(bench.model.requests.at(-1)?.body);
  expect(last.split('"type":"image"').length - 1).toBe(1);
});

it("serve each sub-agent what was chosen for it", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Done." }] }]);
  const toolset = await connections.open({
    sessionId: "s",
    directory: bench.sandbox.root,
    servers: [everythingServer("every"), filesystemServer("files", bench.sandbox.root)],
  });
  const chosen = toolset.toolsFor({
    field: "spec.sub_agents[0]",
    servers: ["every", "files"],
    tools: { every: ["echo"] },
  });
  expect(chosen.map(({ name }) => name).filter((name) => name.startsWith("every"))).toEqual(["every__echo"]);
  expect(chosen.filter(({ name }) => name.startsWith("files__")).length).toBeGreaterThan(5);
});

it("that die do not end the run: the model is told, and goes on with the server started again", async () => {
  bench = await openWorkbench([
    {
      name: "main",
      turns: [
        { toolCalls: [{ id: "c1", name: "m__crash", args: {} }] },
        { toolCalls: [{ id: "c2", name: "m__weather", args: {} }] },
        { text: "Done." },
      ],
    },
  ]);
  const { tools } = await connections.open({
    sessionId: "s",
    directory: bench.sandbox.root,
    servers: [moodyServer("m")],
  });
  const agent = await bench.agent({ tools });
  const events = await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  expect(answer(events)).toBe("Done.");
  expect(toolResults(events)).toEqual([
    {
      name: "m__crash",
      status: "error",
      content: expect.stringMatching(
        /^Error: The MCP server m was lost while it ran crash: .* exit code 3: out of luck/,
      ),
    },
    { name: "m__weather", status: "success", content: '{"degrees":21}' },
  ]);
});

it("are left by a run that is aborted in the middle of a call, which ends at once", async () => {
  bench = await openWorkbench([
    { name: "main", turns: [{ toolCalls: [{ name: "m__hang", args: {} }] }, { text: "x" }] },
  ]);
  const toolset = await connections.open({
    sessionId: "s",
    directory: bench.sandbox.root,
    servers: [moodyServer("m")],
  });
  const stop = new AbortController();
  const reason = new Error("cancelled");
  const agent = await bench.agent({ tools: toolset.tools });
  const run = await agent.open({ threadId: "t", runId: "r", input: "Go." });
  const ended = (async () => {
    for await (const { mode, data } of run.events({ signal: stop.signal })) {
      if (mode === "tools" && (data as { event: string }).event === "on_tool_start") stop.abort(reason);
    }
  })();
  await expect(ended).rejects.toBe(reason);
});
