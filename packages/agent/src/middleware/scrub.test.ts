import { expect, it } from "vitest";
import { scrubError } from "./scrub.ts";

it("drops stacks and the paths of our own modules", () => {
  const { stack = "" } = new Error("Received tool input did not match expected schema");
  const text = scrubError(
    `Error invoking tool: ${stack}\n    at async file:///srv/app/node_modules/x/y.js:1:2\n Please fix the error.`,
  );
  expect(text).toBe(
    "Error invoking tool: Error: Received tool input did not match expected schema\n Please fix the error.",
  );
  expect(scrubError("Cannot find /srv/app/node_modules/x/y.js")).toBe("Cannot find <internal>");
});

it("keeps what only looks alike, and paths of the user's files", () => {
  const text = "Look\n  at the file /home/me/project/a.ts:3:4";
  expect(scrubError(text)).toBe(text);
});

it("bounds the length", () => {
  expect(scrubError("x".repeat(100_000)).length).toBeLessThan(10_000);
});
