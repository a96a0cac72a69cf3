// A process of its own that kills itself, so that it dies exactly where it shall: at the n-th begin or finish of a tool call.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox } from "@stigmer/sandbox";
import { createSqliteCheckpointer } from "../checkpointer/create-sqlite-checkpointer.ts";
import { createAgent } from "../create-agent.ts";
import { createSqliteLedger } from "../ledger/create-sqlite-ledger.ts";
import type { ToolCallLedger } from "../ledger/tool-call-ledger.ts";
import { openMcpNotes } from "./mcp-notes.ts";
import { defaults } from "./workbench.ts";

/** Before or after the ledger wrote down the n-th intent, or the n-th result; `during`: while a slow ledger is at it. */
export interface KillPoint {
  readonly step: "begin" | "finish";
  readonly when: "before" | "during" | "after";
  readonly n: number;
}

function dieAt(point: KillPoint, inner: ToolCallLedger): ToolCallLedger {
  const counts = { begin: 0, finish: 0 };
  const guarded = async <T>(step: KillPoint["step"], callKey: string, work: () => Promise<T>): Promise<T> => {
    const isPoint = step === point.step && (counts[step] += 1) === point.n;
    const die = (): void => {
      writeFileSync(join(root, "victim"), callKey);
      process.kill(process.pid, "SIGKILL");
    };
    if (isPoint && point.when === "before") die();
    // Long enough for the run to come as far as it may without this result.
    if (isPoint && point.when === "during") setTimeout(die, 500);
    if (isPoint && point.when === "during") await new Promise(() => {});
    const result = await work();
    if (isPoint && point.when === "after") die();
    return result;
  };
  return {
    begin: (intent, signal) => guarded("begin", intent.callKey, () => inner.begin(intent, signal)),
    finish: (callKey, result, signal) => guarded("finish", callKey, () => inner.finish(callKey, result, signal)),
  };
}

const [root = "", url = "", point = ""] = process.argv.slice(2);
const sandbox = await createSandbox({ type: "filesystem", rootDir: join(root, "work") });
const checkpointer = await createSqliteCheckpointer({ path: join(root, "checkpoints.db") });
const ledgers = await createSqliteLedger({ path: join(root, "ledger.db") });
const { tools } = await openMcpNotes();
const ledger = dieAt(JSON.parse(point) as KillPoint, ledgers.forRun("aex-1"));
const agent = await createAgent({ ...defaults(root, sandbox, url), checkpointer, ledger, tools });
const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
for await (const event of run.events()) void event;
