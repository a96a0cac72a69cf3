// An MCP server that does on cue what servers do wrong. Over stdio; over HTTP with a port as its argument.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function makeServer(): McpServer {
  const server = new McpServer({ name: "moody", version: "1.0.0" });
  const say = (text: string): { content: { type: "text"; text: string }[] } => ({ content: [{ type: "text", text }] });
  server.registerTool("pid", { annotations: { readOnlyHint: true } }, () => say(String(process.pid)));
  server.registerTool("env", { inputSchema: { name: z.string() } }, ({ name }) => say(`${name}=${process.env[name]}`));
  server.registerTool("crash", {}, () => {
    process.stderr.write("out of luck\n");
    process.exit(3);
  });
  server.registerTool("fail", {}, () => ({ ...say("no such note"), isError: true }));
  server.registerTool("hang", {}, async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    process.stderr.write("hang was given up\n");
    return say("given up");
  });
  server.registerTool("image", {}, () => ({
    content: [
      { type: "text", text: "one pixel" },
      { type: "image", data: pixel, mimeType: "image/png" },
    ],
  }));
  server.registerTool("weather", { outputSchema: { degrees: z.number() } }, () => ({
    ...say('{"degrees":21}'),
    structuredContent: { degrees: 21 },
  }));
  server.registerTool("mute-weather", { outputSchema: { degrees: z.number() } }, () => ({
    content: [],
    structuredContent: { degrees: 21 },
  }));
  server.registerTool("page", {}, () => ({
    content: [
      { type: "resource", resource: { uri: "note://1", text: "the note's text" } },
      { type: "resource_link", uri: "note://2", name: "second" },
      { type: "audio", data: "AAAA", mimeType: "audio/wav" },
    ],
  }));
  server.registerTool("learn", {}, () => {
    server.registerTool("learned", {}, () => say("new"));
    return say("learned one");
  });
  return server;
}

const port = process.argv[2];
if (port === undefined) {
  await makeServer().connect(new StdioServerTransport());
  process.stdin.once("end", () => process.exit(0));
} else {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const http = createServer((request, response) => {
    void (async () => {
      if (request.url !== "/mcp?room=7" || request.headers.authorization !== "Bearer let-me-in") {
        response.writeHead(request.url?.startsWith("/mcp") === true ? 401 : 404).end("who are you?");
        return;
      }
      const id = request.headers["mcp-session-id"] as string | undefined;
      let transport = id === undefined ? undefined : sessions.get(id);
      if (transport === undefined) {
        if (id !== undefined) {
          response.writeHead(404).end("no such session");
          return;
        }
        const made = new StreamableHTTPServerTransport({
          sessionIdGenerator: randomUUID,
          onsessioninitialized: (session) => void sessions.set(session, made),
          onsessionclosed: (session) => void sessions.delete(session),
        });
        transport = made;
        await makeServer().connect(made);
      }
      await transport.handleRequest(request, response);
    })();
  });
  http.listen(Number(port), "127.0.0.1", () => {
    const address = http.address();
    process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
  });
}
