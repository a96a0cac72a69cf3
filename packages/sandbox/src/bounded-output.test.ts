import fc from "fast-check";
import { expect, test } from "vitest";
import { BoundedOutput } from "./bounded-output.ts";

function capture(chunks: readonly Uint8Array[], limit: number): BoundedOutput {
  const output = new BoundedOutput(limit);
  for (const chunk of chunks) output.write(chunk);
  return output;
}

test("keeps everything up to the limit", () => {
  const output = capture([Buffer.from("abc"), Buffer.from("def")], 6);
  expect(output.text()).toBe("abcdef");
  expect(output.truncated).toBe(false);
});

test("keeps the beginning and the end, and says how much lies between", () => {
  const output = capture([Buffer.from("abcdefghij")], 6);
  expect(output.text()).toBe("abc\n[... 4 bytes left out ...]\nhij");
  expect(output.truncated).toBe(true);
});

test("keeps nothing with a limit of 0", () => {
  expect(capture([Buffer.from("abc")], 0).text()).toBe("\n[... 3 bytes left out ...]\n");
});

test("beginning, gap and end add up to what was written, however it was cut into pieces", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 40 })),
      fc.integer({ min: 0, max: 64 }),
      (pieces, limit) => {
        const whole = Buffer.from(pieces.join(""));
        const cut: Buffer[] = [];
        for (let at = 0; at < whole.length; at += 1 + (at % 7)) cut.push(whole.subarray(at, at + 1 + (at % 7)));
        const output = capture(cut, limit);
        const text = output.text();
        if (!output.truncated) return text === whole.toString("utf8");
        const gap = /\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n/.exec(text);
        const head = Buffer.from(text.slice(0, gap!.index));
        const tail = Buffer.from(text.slice(gap!.index + gap![0].length));
        return (
          head.length + tail.length <= limit &&
          head.length + Number(gap![1]) + tail.length === whole.length &&
          whole.subarray(0, head.length).equals(head) &&
          whole.subarray(whole.length - tail.length).equals(tail)
        );
      },
    ),
  );
});
