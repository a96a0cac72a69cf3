// Fills a store with runs that have ended, newest last, and prints what they can be asked for by. For the bench: by way of the
// API, so many would take minutes.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create, toBinary } from "@bufbuild/protobuf";
import { createId, kinds } from "@stigmer/protos";
import {
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
} from "@stigmer/protos/agentexecution/v1";
import { openSqliteStore } from "../create-store.ts";

/** Few enough that a page of any kind of list is full at 1,000 runs. */
const AGENTS = 10;
const RUNS_PER_SESSION = 50;
/** In one transaction. */
const BATCH = 2_000;

const [dataDir = "", count = "0"] = process.argv.slice(2);
const store = openSqliteStore({ dataDir });
const agents = Array.from({ length: AGENTS }, () => createId("Agent"));
const sessions: string[] = [];
const ids: string[] = [];
const firstId = createId("AgentExecution");
/** Without what randomness costs. */
const idOf = (index: number): string => `${firstId.slice(0, -8)}${String(index).padStart(8, "0")}`;
const startedAt = Date.now() - Number(count) * 1_000;

for (let first = 0; first < Number(count); first += BATCH) {
  await store.transaction(async ({ executions }) => {
    for (let index = first; index < Math.min(first + BATCH, Number(count)); index += 1) {
      if (index % RUNS_PER_SESSION === 0) sessions.push(createId("Session"));
      const id = idOf(index);
      ids.push(id);
      const createdAt = startedAt + index * 1_000;
      const at = new Date(createdAt).toISOString();
      const phase = index % 20 === 7 ? ExecutionPhase.EXECUTION_FAILED : ExecutionPhase.EXECUTION_COMPLETED;
      const message = `Look through the change number ${index} and say what is wrong with it.`;
      const sessionId = sessions.at(-1) ?? "";
      const agentId = agents[index % AGENTS] ?? "";
      const tags = index % 10 === 3 ? ["nightly"] : [];
      const labels = { team: index % 10 === 5 ? "platform" : "product" };
      const execution = create(AgentExecutionSchema, {
        apiVersion: kinds.AgentExecution.apiVersion,
        kind: "AgentExecution",
        metadata: { id, name: `review ${index}`, slug: `review-${index}`, org: "local", tags, labels },
        spec: { sessionId, agentId, message },
      });
      const over = create(AgentExecutionStatusSchema, {
        phase,
        startedAt: at,
        completedAt: at,
        messages: [
          { id: "m0", type: MessageType.MESSAGE_HUMAN, content: message },
          { id: "m1", type: MessageType.MESSAGE_AI, content: "Nothing that I can see, and all of it is tested. ".repeat(10) },
        ],
      });
      await executions.insert({
        id,
        org: "local",
        name: `review ${index}`,
        labels,
        tags,
        sessionId,
        agentId,
        phase,
        error: "",
        startedAt: at,
        completedAt: at,
        createdAt,
        body: toBinary(AgentExecutionSchema, execution),
        snapshot: toBinary(AgentExecutionStatusSchema, over),
      });
    }
  });
}
await store.close();

// Each ended by a change of its own, as it would be, takes twice the time.
const database = new DatabaseSync(join(dataDir, "stigmer.db"));
database.exec("UPDATE executions SET ended = 1");
database.close();

// Of ids a few are enough.
const asked = ids.filter((_id, index) => index % Math.ceil(ids.length / 1_000) === 0);
console.log(JSON.stringify({ agentId: agents[0], sessionId: sessions[0], ids: asked }));
