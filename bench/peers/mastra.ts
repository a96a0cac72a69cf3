// Mastra's server, as `mastra build` makes it, with what it keeps in a LibSQL file.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { postForEvents, postForRecords } from "./event-stream.ts";
import { installedProject } from "./installed-project.ts";
import { openPeer, type Peer, type PeerDescription, type PeerOptions } from "./peer.ts";

/** The same deep agent as ours, as a workflow's step: its snapshots are what a run leaves. */
export function openMastra(options: PeerOptions): Promise<Peer> {
  return open(options, {
    name: "Mastra's server",
    events: (url) =>
      postForRecords(`${url}/api/workflows/bench/stream?runId=${randomUUID()}`, { inputData: { message: "Go." } }),
    read(event) {
      const { output } = (event as { payload?: { output?: { type?: string; text?: string } } }).payload ?? {};
      if (output?.type === "tool") return { result: true };
      return output?.type === "ai" ? { text: output.text ?? "" } : {};
    },
  });
}

/** Mastra's own agent, which does less at each turn than a deep agent: threads and messages are what a run leaves. */
export function openMastraAgent(options: PeerOptions): Promise<Peer> {
  return open(options, {
    name: "Mastra's own agent on its server",
    events: (url) =>
      postForEvents(`${url}/api/agents/bench/stream`, {
        messages: [{ role: "user", content: "Go." }],
        memory: { thread: randomUUID(), resource: "bench" },
      }),
    read(event) {
      const { type, payload = {} } = event as { type?: string; payload?: { text?: string } };
      if (type === "tool-result") return { result: true };
      return type === "text-delta" ? { text: payload.text ?? "" } : {};
    },
  });
}

async function open(
  { modelUrl }: PeerOptions,
  description: Pick<PeerDescription, "name" | "events" | "read">,
): Promise<Peer> {
  const project = new URL("./projects/mastra", import.meta.url);
  const folder = await installedProject(project, [
    "env",
    "MASTRA_TELEMETRY_DISABLED=1",
    "node_modules/.bin/mastra",
    "build",
  ]);
  return openPeer({
    ...description,
    folder,
    command: () => [process.execPath, join(folder, ".mastra/output/index.mjs")],
    env: ({ port, workspaces, data }) => ({
      PORT: String(port),
      MASTRA_HOST: "127.0.0.1",
      MASTRA_TELEMETRY_DISABLED: "1",
      NODE_ENV: "production",
      ANTHROPIC_BASE_URL: modelUrl,
      BENCH_WORKSPACES: workspaces,
      BENCH_DATABASE: `file:${join(data, "mastra.db")}`,
    }),
  });
}
