// The job in two ways: the same deep agent as a workflow's step, and Mastra's own agent with the two tools that the job takes. Both keep
// what they keep in a LibSQL file.
import { exec } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createAnthropic } from "@ai-sdk/anthropic";
import { Mastra } from "@mastra/core";
import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import { LibSQLStore } from "@mastra/libsql";
import { Memory } from "@mastra/memory";
import { z } from "zod";
import { workflow } from "./workflow.js";

const { ANTHROPIC_BASE_URL, BENCH_WORKSPACES, BENCH_DATABASE } = process.env;
const storage = new LibSQLStore({ id: "bench", url: BENCH_DATABASE });
const model = createAnthropic({ baseURL: `${ANTHROPIC_BASE_URL}/v1`, apiKey: "key" });

async function folderOf({ agent }) {
  const folder = join(BENCH_WORKSPACES, agent.threadId);
  await mkdir(folder, { recursive: true });
  return folder;
}

const writeTool = createTool({
  id: "write_file",
  description: "Writes a file.",
  inputSchema: z.object({ file_path: z.string(), content: z.string() }),
  execute: async ({ file_path: path, content }, context) => {
    await writeFile(join(await folderOf(context), path), content);
    return `Wrote ${path}.`;
  },
});

const executeTool = createTool({
  id: "execute",
  description: "Runs a command.",
  inputSchema: z.object({ command: z.string() }),
  execute: async ({ command }, context) => {
    const { stdout } = await promisify(exec)(command, { cwd: await folderOf(context) });
    return stdout;
  },
});

export const mastra = new Mastra({
  storage,
  workflows: { bench: workflow },
  agents: {
    bench: new Agent({
      id: "bench",
      name: "bench",
      instructions: "Do what the person asks.",
      model: model("claude-sonnet-4-5"),
      tools: { write_file: writeTool, execute: executeTool },
      memory: new Memory({ storage }),
    }),
  },
});
