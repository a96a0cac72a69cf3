// A process of its own, so that it can be killed: runs an agent on a thread until it is.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox } from "@stigmer/sandbox";
import type { AgentOptions, SteeringMessage } from "../agent.ts";
import { createSqliteCheckpointer } from "../checkpointer/create-sqlite-checkpointer.ts";
import { createAgent } from "../create-agent.ts";
import { defaults } from "./workbench.ts";

const [root = "", url = "", more = "{}"] = process.argv.slice(2);
const sandbox = await createSandbox({ type: "filesystem", rootDir: join(root, "work") });
const checkpointer = await createSqliteCheckpointer({ path: join(root, "checkpoints.db") });
const agent = await createAgent({
  ...defaults(root, sandbox, url),
  checkpointer,
  ...(JSON.parse(more) as Partial<AgentOptions>),
});
const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
const inbox = join(root, "inbox.json");
const messages = (): SteeringMessage[] => (existsSync(inbox) ? JSON.parse(readFileSync(inbox, "utf8")) : []);
for await (const { mode, data } of run.events({ messages })) {
  process.stdout.write(`${mode} ${mode === "tools" ? (data as { event: string }).event : ""}\n`);
}
