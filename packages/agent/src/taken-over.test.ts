// A run that was given to another process while this one stood still: what it does from then on is for nothing, and takes nothing away.
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, type Workbench } from "./__fixtures__/workbench.ts";
import { createSqliteCheckpointer, type SqliteCheckpointer } from "./checkpointer/create-sqlite-checkpointer.ts";
import { conflictOn } from "./checkpointer/checkpoint-conflict.ts";
import { createMemoryLedger } from "./ledger/create-memory-ledger.ts";

let bench: Workbench;
const opened: SqliteCheckpointer[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const checkpointer of opened.splice(0)) checkpointer.close();
  await bench[Symbol.asyncDispose]();
});

/** As another process has the conversations. */
async function another(): Promise<SqliteCheckpointer> {
  const checkpointer = await createSqliteCheckpointer({ path: join(bench.directory, "checkpoints.db") });
  opened.push(checkpointer);
  return checkpointer;
}

const conflict = { name: "AgentError", code: "checkpoint-conflict" };

describe.each([
  ["with a ledger", () => ({ ledger: createMemoryLedger() })],
  ["without", () => ({})],
])("%s", (_, options) => {
  it("ends at what it can't put any more, and the conversation has what came since", async () => {
    bench = await openWorkbench([
      { name: "second", match: { human: "And now?" }, turns: [{ text: "The second answer." }] },
      { name: "third", match: { human: "At last." }, turns: [{ text: "The third answer." }] },
      { name: "first", turns: [{ text: "The first answer." }, { text: "The first answer." }] },
    ]);
    const woken = await another();
    const put = woken.putNext.bind(woken);
    const stands = Promise.withResolvers<void>();
    woken.putNext = async (...next) => {
      await stands.promise;
      return put(...next);
    };
    const request = { threadId: "t", runId: "aex-1", input: "Go." };
    const first = await (await bench.agent({ ...options(), checkpointer: woken })).open(request);
    const late = collect(first).catch((error: unknown) => error);
    const agent = await bench.agent(options());
    expect(answer(await collect(await agent.open(request)))).toBe("The first answer.");
    await collect(await agent.open({ threadId: "t", runId: "aex-2", input: "And now?" }));
    stands.resolve();
    expect(await late).toMatchObject(conflict);
    await collect(await agent.open({ threadId: "t", runId: "aex-3", input: "At last." }));
    const said = JSON.stringify(bench.model.requests.at(-1)?.body);
    for (const text of ["Go.", "The first answer.", "And now?", "The second answer.", "At last."]) {
      expect(said.split(text)).toHaveLength(2);
    }
  });

  it("is begun again where the clock went back, and then has all of it", async () => {
    bench = await openWorkbench([
      { name: "second", match: { human: "And now?" }, turns: [{ text: "The second answer." }] },
      { name: "first", turns: [{ toolCalls: [{ name: "ls", args: {} }] }, { text: "The first answer." }] },
    ]);
    const agent = await bench.agent(options());
    const put = bench.checkpointer.putNext.bind(bench.checkpointer);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    bench.checkpointer.putNext = async (...next) => {
      const stored = await put(...next);
      vi.setSystemTime(Date.now() - 300);
      return stored;
    };
    const request = { threadId: "t", runId: "aex-1", input: "Go." };
    await expect(collect(await agent.open(request))).rejects.toMatchObject(conflict);
    vi.useRealTimers();
    bench.checkpointer.putNext = put;
    await collect(await agent.open(request));
    await collect(await agent.open({ threadId: "t", runId: "aex-2", input: "And now?" }));
    const said = JSON.stringify(bench.model.requests.at(-1)?.body);
    for (const text of ["Go.", "The first answer.", "And now?"]) expect(said.split(text)).toHaveLength(2);
  });

  it("is at its end also where a sub-agent of it finds that out", async () => {
    bench = await openWorkbench([
      { name: "sub-agent", match: { firstHuman: "Dig." }, turns: [{ text: "Dug." }] },
      {
        name: "main",
        turns: [
          { toolCalls: [{ name: "task", args: { description: "Dig.", subagent_type: "general-purpose" } }] },
          { text: "Done." },
        ],
      },
    ]);
    const woken = await another();
    const put = woken.putNext.bind(woken);
    woken.putNext = async (config, checkpoint, ...rest) => {
      if (config.configurable?.["checkpoint_ns"] === "") return put(config, checkpoint, ...rest);
      throw conflictOn({ threadId: "t", namespace: "tools:1", id: checkpoint.id, parentId: undefined });
    };
    const agent = await bench.agent({ ...options(), checkpointer: woken });
    const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
    await expect(collect(run)).rejects.toMatchObject(conflict);
    // The agent was not told that its task failed.
    const asked = bench.model.requests.map(({ scenario }) => scenario);
    expect(asked.filter((name) => name === "main")).toHaveLength(1);
  });
});
