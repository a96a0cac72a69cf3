import { describe, expect, it } from "vitest";
import { maskRecorded } from "./mask-recorded.ts";
import { maskSecrets } from "./mask-secrets.ts";

function recorded(type: string, body: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(type.length), Buffer.from(type), Buffer.from(body)]);
}

function message(content: string): object {
  return {
    lc: 1,
    type: "constructor",
    id: ["langchain_core", "messages", "ToolMessage"],
    kwargs: { content, tool_call_id: "toolu_1", lines: [{ text: content }] },
  };
}

// Secrets that are also words of the form, and one that JSON writes in another way.
const mask = maskSecrets(["constructor", "content", "ToolMessage", 'a"b\n', "json"]);

describe("a recorded result", () => {
  it("is masked in what it says, not in what it is", () => {
    const masked = maskRecorded(
      recorded("json", JSON.stringify(message('the constructor, a"b\n and ToolMessage'))),
      mask,
    );
    expect(Buffer.from(masked.subarray(0, 5)).toString()).toBe("\u0004json");
    expect(JSON.parse(Buffer.from(masked.subarray(5)).toString())).toEqual(
      message("the ********, ******** and ********"),
    );
  });

  it("stays the very same bytes without a secret in it", () => {
    const bytes = recorded("json", JSON.stringify(message("nothing")));
    expect(maskRecorded(bytes, mask)).toBe(bytes);
  });

  it("is masked in its bytes when it is no JSON", () => {
    const bytes = Buffer.concat([recorded("bytes", "my content "), Uint8Array.of(0xff, 0x00)]);
    expect(maskRecorded(bytes, mask)).toEqual(
      Buffer.concat([recorded("bytes", "my ******** "), Uint8Array.of(0xff, 0x00)]),
    );
  });
});
