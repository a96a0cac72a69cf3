import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { type Scenario, type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import type { Agent, AgentEvent, AgentOptions, AgentRun, RunControl } from "../agent.ts";
import { createSqliteCheckpointer, type SqliteCheckpointer } from "../checkpointer/create-sqlite-checkpointer.ts";
import { createAgent } from "../create-agent.ts";

/** A real agent in a real sandbox, whose model is scripted at the HTTP boundary. */
export interface Workbench extends AsyncDisposable {
  readonly directory: string;
  readonly sandbox: Sandbox;
  readonly model: ScriptedModel;
  readonly checkpointer: SqliteCheckpointer;
  agent(options?: Partial<AgentOptions>): Promise<Agent>;
}

export async function openWorkbench(scenarios: readonly Scenario[], directory?: string): Promise<Workbench> {
  const root = directory ?? mkdtempSync(join(tmpdir(), "agent-"));
  const model = await startScriptedModel({ scenario: { name: "test", scenarios } });
  const sandbox = await createSandbox({ type: "filesystem", rootDir: join(root, "work") });
  const checkpointer = await createSqliteCheckpointer({ path: join(root, "checkpoints.db") });
  return {
    directory: root,
    sandbox,
    model,
    checkpointer,
    agent: (options) => createAgent({ ...defaults(root, sandbox, model.url), checkpointer, ...options }),
    async [Symbol.asyncDispose]() {
      await sandbox.dispose();
      await model.close();
      checkpointer.close();
      if (directory === undefined) rmSync(root, { recursive: true });
    },
  };
}

export function defaults(root: string, sandbox: Sandbox, url: string): Omit<AgentOptions, "checkpointer"> {
  return {
    model: { provider: "anthropic", model: "claude-sonnet-4-5", apiKey: "test-key", baseUrl: url, maxRetries: 0 },
    instructions: "You are a careful engineer.",
    context: { workingDirectory: sandbox.root, date: "2026-11-21" },
    sandbox,
    spillDirectory: join(root, "spill"),
  };
}

export async function collect(run: AgentRun, control?: RunControl): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const event of run.events(control)) events.push(event);
  return events;
}

interface ToolResult {
  readonly name: string;
  readonly status: string;
  readonly content: string;
}

/** The tools' results, as the messages of the stream tell them. */
export function toolResults(events: readonly AgentEvent[]): ToolResult[] {
  return events.flatMap(({ mode, data }) => {
    if (mode !== "messages") return [];
    const [message] = data as [{ type: string; name: string; status?: string; text: string }];
    return message.type === "tool"
      ? [{ name: message.name, status: message.status ?? "success", content: message.text }]
      : [];
  });
}

export function answer(events: readonly AgentEvent[]): string {
  return events
    .flatMap(({ mode, data, namespace }) => {
      if (mode !== "messages" || namespace.length > 1) return [];
      const [message] = data as [{ type: string; text: string }];
      return message.type === "ai" ? [message.text] : [];
    })
    .join("");
}
