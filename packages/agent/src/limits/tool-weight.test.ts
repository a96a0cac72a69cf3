import { tool } from "@langchain/core/tools";
import { countTokensApproximately } from "langchain";
import { expect, it } from "vitest";
import { z } from "zod";
import { weightOf } from "./tool-weight.ts";

const search = tool(async () => "found", {
  name: "search",
  description: 'Looks for "words" in a text – of any language.',
  schema: z.object({ words: z.array(z.string()), most: z.int().min(1).optional() }),
});
const fetched = tool(async () => "got", {
  name: "fetch",
  description: "Gets a page. ".repeat(500),
  schema: { type: "object", properties: { url: { type: "string" } }, required: ["url"] },
});
const ofTheProvider = { type: "web_search_20250305", name: "web_search", max_uses: 3 };

it.each([
  ["a tool with a schema of zod", [search]],
  ["one with a JSON schema", [fetched]],
  ["one of the provider's", [ofTheProvider]],
  ["all of them", [search, fetched, ofTheProvider]],
])("weighs %s as LangChain counts it", (_what, tools) => {
  const counted = countTokensApproximately([], tools);
  expect(counted).toBeGreaterThan(10);
  expect(countTokensApproximately([], tools.map(weightOf))).toBe(counted);
});

it("weighs a tool once", () => {
  expect(weightOf(search)).toBe(weightOf(search));
  expect(weightOf(search)).not.toBe(weightOf(fetched));
});
