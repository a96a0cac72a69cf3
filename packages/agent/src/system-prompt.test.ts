import { expect, it } from "vitest";
import { composeSystemPrompt } from "./system-prompt.ts";

const context = { workingDirectory: "/workspace", date: "2026-11-21" };

it("tells what there is to tell of the place, and nothing of what there isn't", () => {
  const plain = composeSystemPrompt("Work well.", undefined, context);
  expect(plain).toMatch(/^Work well\.\n\n## Context\n\n- Working directory: \/workspace\n- Date: 2026-11-21\n/);
  expect(plain).not.toContain("undefined");
  const told = composeSystemPrompt("Work well.", "## Skills", { ...context, notice: "The sandbox is a new one." });
  expect(told.startsWith("Work well.\n\n## Skills\n\n## Context")).toBe(true);
  expect(told.endsWith("\n\nThe sandbox is a new one.")).toBe(true);
});
