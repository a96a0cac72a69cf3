import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { withProgress } from "./progress.ts";

/** The line erased, the cursor at its beginning. */
const ERASED = "\u001b[2K\u001b[G\u001b[?2026l";

function terminal(isTTY: boolean): {
  stderr: PassThrough & { isTTY: boolean };
  written: () => string;
  drawn: (text: string) => Promise<void>;
} {
  let text = "";
  const stderr = Object.assign(new PassThrough(), { isTTY, columns: 80, rows: 24 });
  const waiting: (() => void)[] = [];
  stderr.on("data", (chunk) => {
    text += String(chunk);
    for (const check of waiting) check();
  });
  return {
    stderr,
    written: () => text,
    drawn: (part) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (text.includes(part)) resolve();
        };
        waiting.push(check);
        check();
      }),
  };
}

test("on a terminal one line tells what is under way, and is gone after it", async () => {
  const { stderr, written, drawn } = terminal(true);
  const result = await withProgress({ stderr, env: {} }, "Packing", async (tell) => {
    await drawn("Packing");
    tell("Pushing");
    await drawn("Pushing");
    return 7;
  });
  expect(result).toBe(7);
  expect(stripVTControlCharacters(written())).toMatch(/^⠋ Packing\n.*Pushing\n/s);
  expect(written().endsWith(ERASED)).toBe(true);
});

test.each<[string, boolean, Record<string, string>]>([
  ["a pipe", false, {}],
  ["a dumb terminal", true, { TERM: "dumb" }],
  ["a build server", true, { CI: "true" }],
])("nothing is drawn on %s", async (_, isTTY, env) => {
  const { stderr, written } = terminal(isTTY);
  await withProgress({ stderr, env }, "Packing", () => new Promise((resolve) => setTimeout(resolve, 400)));
  expect(written()).toBe("");
});

test("a failure ends it too", async () => {
  const { stderr, drawn, written } = terminal(true);
  const failing = withProgress({ stderr, env: {} }, "Packing", async () => {
    await drawn("Packing");
    throw new Error("full");
  });
  await expect(failing).rejects.toThrow("full");
  expect(written().endsWith(ERASED)).toBe(true);
});
