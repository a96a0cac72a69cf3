import { expect, it } from "vitest";
import { createLiveOutput, type OutputPiece } from "./live-output.ts";

async function read(live: ReturnType<typeof createLiveOutput>): Promise<OutputPiece[]> {
  const pieces: OutputPiece[] = [];
  for await (const piece of live.pieces()) pieces.push(piece);
  return pieces;
}

it("joins what comes between two reads, and keeps the streams apart", async () => {
  const live = createLiveOutput({ intervalMs: 60_000 });
  live.add("stdout", "a");
  live.add("stdout", "b");
  live.add("stderr", "c");
  live.add("stdout", "d");
  live.end();
  expect((await read(live)).map(({ stream, text }) => [stream, text])).toEqual([
    ["stdout", "ab"],
    ["stderr", "c"],
    ["stdout", "d"],
  ]);
});

it("gives the first output at once, and the rest without waiting when the command ends", async () => {
  const live = createLiveOutput({ intervalMs: 60_000 });
  const pieces = live.pieces();
  const first = pieces.next();
  live.add("stdout", "first");
  expect((await first).value).toMatchObject({ text: "first" });
  const second = pieces.next();
  live.add("stdout", "second");
  live.end();
  expect((await second).value).toMatchObject({ text: "second" });
  expect((await pieces.next()).done).toBe(true);
});

it("ends for a command that says nothing", async () => {
  const live = createLiveOutput({ intervalMs: 60_000 });
  const pieces = read(live);
  live.end();
  expect(await pieces).toEqual([]);
});

it("shows a bounded part of an endless command", async () => {
  const live = createLiveOutput({ intervalMs: 60_000 });
  for (let line = 0; line < 1000; line += 1) live.add("stdout", "x".repeat(1000));
  live.end();
  const text = (await read(live)).map((piece) => piece.text).join("");
  expect(text.length).toBeLessThan(140_000);
  expect(text).toMatch(/\[more output, in the result\]\n$/);
});
