import { expect, test } from "vitest";
import { createFollowers } from "./output-followers.ts";
import type { OutputPiece } from "./sandbox.ts";

async function all(followed: AsyncIterable<OutputPiece>): Promise<OutputPiece[]> {
  const pieces: OutputPiece[] = [];
  for await (const piece of followed) pieces.push(piece);
  return pieces;
}

test("who reads too slowly loses the oldest, and is told how much of which stream", async () => {
  const followers = createFollowers();
  const followed = followers.follow();
  const block = "x".repeat(512 * 1024);
  followers.push("stderr", "lost");
  followers.push("stdout", block);
  followers.push("stderr", "kept");
  followers.push("stdout", block);
  followers.push("stdout", "end");
  followers.end();
  const pieces = await all(followed);
  expect(pieces.map(({ stream, text, skipped }) => [stream, text.length, skipped])).toEqual([
    ["stderr", 4, 4],
    ["stdout", block.length, block.length],
    ["stdout", 3, 0],
  ]);
});

test("small pieces are joined, in the order they came", async () => {
  const followers = createFollowers();
  const followed = followers.follow();
  for (let at = 0; at < 10_000; at++) followers.push("stdout", "ab");
  followers.push("stderr", "e");
  followers.push("stdout", "c");
  followers.end();
  const pieces = await all(followed);
  expect(pieces.map(({ text }) => text).join("")).toBe(`${"ab".repeat(10_000)}ec`);
  expect(pieces.length).toBeLessThan(10);
});

test("who stops following is forgotten", async () => {
  const followers = createFollowers();
  const followed = followers.follow();
  followers.push("stdout", "a");
  for await (const piece of followed) {
    expect(piece.text).toBe("a");
    break;
  }
  followers.push("stdout", "b");
  expect(await all(followed)).toEqual([]);
});
