import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { referenceDir, renderApiReference } from "../scripts/write-api-reference.ts";
import { API_SERVICES } from "./services/api-services.ts";

const pages = renderApiReference();

test("docs/reference/api.md and its pages are current", () => {
  const howTo = "is written by `pnpm --filter @stigmer/server generate`: run it";
  const there = ["api.md", ...readdirSync(join(referenceDir, "api")).map((name) => `api/${name}`)];
  expect(there.toSorted()).toEqual([...pages.keys()].toSorted());
  for (const [path, text] of pages)
    expect(readFileSync(join(referenceDir, path), "utf8"), `docs/reference/${path} ${howTo}`).toBe(text);
});

test("every method has its caller, and nothing is without a comment", () => {
  const text = [...pages.values()].join("\n");
  const methods = [...text.matchAll(/^#### (?<name>\w+)\n\n.* · .* · (?<roles>.+)\n\n(?<comment>\S.*)$/gm)];
  expect(methods).toHaveLength(API_SERVICES.flatMap((service) => service.methods).length);
  expect(text).not.toContain("|  |  |");
  expect(text).not.toMatch(/^### \w+\n\n(?=#|\|)/m);
});

test("says who may call, what streams, and what a field must be", () => {
  const page = pages.get("api/agentexecution.md") ?? "";
  expect(page).toContain(
    "#### watch\n\n[WatchAgentExecutionRequest](#watchagentexecutionrequest) → stream of [WatchAgentExecutionEvent](#watchagentexecutionevent) · the server streams · viewer, member, owner\n",
  );
  expect(page).toContain("→ [AgentExecution](#agentexecution) · unary · runner (claims)\n");
  expect(page).toMatch(/\| `text` \| 3 \| string \| What is said\. \| `min_len 1`, `max_bytes 1048576` \|/);
  expect(pages.get("api/runner.md")).toMatch(/· both sides stream · runner\n/);
});
