// LangGraph's development server, as `langgraphjs dev` starts it: it keeps threads, runs and checkpoints in memory, and writes them
// to files some seconds later.
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { postForEvents } from "./event-stream.ts";
import { installedProject } from "./installed-project.ts";
import { openPeer, type Peer, type PeerOptions } from "./peer.ts";

export async function openLangGraph({ modelUrl, atOnce }: PeerOptions): Promise<Peer> {
  const folder = await installedProject(new URL("./projects/langgraph", import.meta.url));
  // It keeps what it writes beside the project, and would read all of it at its start.
  await rm(join(folder, ".langgraph_api"), { recursive: true, force: true });
  return openPeer({
    name: "LangGraph's development server",
    folder,
    command: ({ port }) => [
      join(folder, "node_modules/.bin/langgraphjs"),
      "dev",
      "--no-browser",
      "--host=127.0.0.1",
      `--port=${port}`,
      `--n-jobs-per-worker=${atOnce}`,
    ],
    env: ({ workspaces }) => ({
      ANTHROPIC_BASE_URL: modelUrl,
      BENCH_WORKSPACES: workspaces,
      LOG_LEVEL: "error",
      LANGSMITH_TRACING: "false",
    }),
    // One call makes the thread and the run, as ours makes the session and the run.
    events: (url) =>
      postForEvents(`${url}/threads/${randomUUID()}/runs/stream`, {
        assistant_id: "bench",
        if_not_exists: "create",
        stream_mode: ["messages-tuple"],
        input: { messages: [{ role: "user", content: "Go." }] },
      }),
    read(event) {
      if (!Array.isArray(event)) return {};
      const [message] = event as [{ type?: string; content?: string | readonly { text?: string }[] }];
      if (message.type === "tool") return { result: true };
      const { content = "" } = message;
      return { text: typeof content === "string" ? content : content.map(({ text = "" }) => text).join("") };
    },
  });
}
