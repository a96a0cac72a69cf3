import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

// Every error that docs/troubleshooting.md quotes is one that the code prints: its words stand in a source, in this order. Text
// that is put together at run time is quoted in a test of ours, which is as good.

const root = join(import.meta.dirname, "..");
const page = await readFile(join(root, "docs/troubleshooting.md"), "utf8");
const quoted = [...page.matchAll(/^```text error\n(?<text>.*?)^```$/gms)].map(
  ({ groups }) => groups?.["text"]?.trim() ?? "",
);
const sources = await readSources();

async function readSources(): Promise<string[]> {
  const files = glob("{packages,apps}/*/src/**/*.ts", { cwd: root, exclude: (name) => name === "gen" });
  const texts = (await Array.fromAsync(files)).map((file) => readFile(join(root, file), "utf8"));
  return (await Promise.all(texts)).map(asPrinted);
}

/** What a source prints, roughly: texts over several lines are one, and quotation marks are what they stand for. */
function asPrinted(source: string): string {
  return source.replace(/["'`]\s*\+\s*["'`]/g, "").replace(/\\(?<mark>["'`])/g, "$<mark>");
}

const escape = (text: string): string => text.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&");
const partsOf = (error: string): string[] => error.split("…").filter((part) => /\w/.test(part));

/** The fixed words of an error, in their order. What stands between them may be long in the source: it is an expression there. */
const inOnePiece = (error: string): RegExp => new RegExp(partsOf(error).map(escape).join("[^\\n]{0,200}?"));

/** Of an error that one source puts together from several texts: all of them, without what joins them. */
function inPieces(error: string): (source: string) => boolean {
  const pieces = partsOf(error).map((part) => part.replace(/^[\s,.:;]+|[\s,.:;]+$/g, ""));
  return (source) => pieces.every((piece) => source.includes(piece));
}

function isPrinted(error: string): boolean {
  const pattern = inOnePiece(error);
  return sources.some((source) => pattern.test(source)) || sources.some(inPieces(error));
}

test("the sources and the errors are there to be compared", () => {
  expect(sources.length).toBeGreaterThan(500);
  expect(quoted.length).toBeGreaterThan(60);
});

test.each(quoted)("%s", (error) => {
  expect(error, "one line each").not.toContain("\n");
  // A word or two would be found anywhere.
  expect(error.replaceAll("…", "").match(/\w+/g)?.length ?? 0).toBeGreaterThan(2);
  expect(isPrinted(error), "no source prints it any more: quote it as it is now, or take it out").toBe(true);
});

test("what nothing prints is found out", () => {
  expect(isPrinted("Port … on … is taken by another program: stop it")).toBe(false);
  // Both there, but not in one place.
  expect(isPrinted("Port … is in use by another program: stop it, or run `chmod 600` on …")).toBe(false);
});
