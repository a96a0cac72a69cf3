import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { collect, defaults, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const parts = ["conversation summarizer", "They talked at length.", "first and last.", "other and last."];

it("keeps a summary of a long history in the thread, from which agents made later go on with it", async () => {
  bench = await openWorkbench([
    { name: "summary", match: { human: "conversation summarizer" }, turns: [{ text: "They talked at length." }] },
    { name: "answer", turns: [{ text: "I see." }] },
  ]);
  // Of a context of 200,000 tokens, of which 170,000 may be taken.
  const model = { ...defaults("", bench.sandbox, bench.model.url).model, model: "claude-haiku-4-5" };
  let runs = 0;
  /** Runs an agent of its own and tells which of the parts each model call was shown. */
  const say = async (input: string): Promise<string[][]> => {
    const before = bench.model.requests.length;
    const agent = await bench.agent({ model });
    await collect(await agent.open({ threadId: "t", runId: `aex-${(runs += 1)}`, input }));
    const asked = bench.model.requests.slice(before).map(({ body }) => JSON.stringify(body));
    return asked.map((text) => parts.filter((part) => text.includes(part)));
  };
  const talkAtLength = async (word: string): Promise<string[][]> => {
    for (let times = 0; times < 3; times += 1) await say(`${word} `.repeat(33_000));
    await say(`${word} `.repeat(5_000));
    return say(`${word} and last. `.repeat(4_000));
  };

  expect(await talkAtLength("first")).toEqual([
    ["conversation summarizer"],
    ["They talked at length.", "first and last."],
  ]);
  expect(await say("And now?")).toEqual([["They talked at length.", "first and last."]]);
  // The next one is of the summary and what came since, and its history in the same file.
  expect((await talkAtLength("other")).at(-1)).toEqual(["They talked at length.", "other and last."]);
  expect(readdirSync(join(bench.directory, "spill", "conversation_history"))).toEqual([
    expect.stringMatching(/^session_\w{8}\.md$/),
  ]);
});
