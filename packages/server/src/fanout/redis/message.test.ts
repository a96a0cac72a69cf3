import { expect, test } from "vitest";
import type { RunNotice } from "../fanout.ts";
import { decodeMessage, encodeMessage } from "./message.ts";

const notice: RunNotice = {
  kind: "changed",
  executionId: "aex-1",
  org: "acme",
  sessionId: "ses-1",
  agentId: "agt-1",
  revision: 7,
  summaryChanged: true,
  amended: false,
};

test.each([
  ["without a delta", notice],
  ["with one of any bytes", { ...notice, delta: Uint8Array.of(0, 10, 255, 10, 13) }],
  ["with an empty one", { ...notice, delta: new Uint8Array() }],
])("a notice comes over as it is, %s", (_what, sent) => {
  const decoded = decodeMessage(encodeMessage({ from: "a", notice: sent }));
  expect(decoded?.from).toBe("a");
  expect({ ...decoded?.notice, delta: decoded?.notice.delta && Uint8Array.from(decoded.notice.delta) }).toEqual({
    ...sent,
    delta: sent.delta,
  });
});

test.each([
  ["nothing", ""],
  ["no line", "{}"],
  ["no JSON", "hello\n"],
  ["another version", `${JSON.stringify({ v: 2 })}\n`],
])("what no server of this version sends is not taken: %s", (_what, message) => {
  expect(decodeMessage(Buffer.from(message))).toBeUndefined();
});
