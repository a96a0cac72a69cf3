// As run-until-killed.ts, with its checkpoints in Postgres and a tool-call ledger.
import { join } from "node:path";
import { createSandbox } from "@stigmer/sandbox";
import { createPostgresCheckpointer } from "../checkpointer/create-postgres-checkpointer.ts";
import { createAgent } from "../create-agent.ts";
import { createSqliteLedger } from "../ledger/create-sqlite-ledger.ts";
import { defaults } from "./workbench.ts";

const [root = "", model = "", url = "", schema = ""] = process.argv.slice(2);
const sandbox = await createSandbox({ type: "filesystem", rootDir: join(root, "work") });
const checkpointer = await createPostgresCheckpointer({ url, schema });
const ledger = (await createSqliteLedger({ path: join(root, "ledger.db") })).forRun("aex-1");
const agent = await createAgent({ ...defaults(root, sandbox, model), checkpointer, ledger });
const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
for await (const { mode } of run.events()) process.stdout.write(`${mode}\n`);
