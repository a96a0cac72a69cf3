import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { StatusChangeSchema, TextKind, type StatusChange, type StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStatusSender, type StatusSenderOptions } from "./status-sender.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Not at the beginning of the message, where a text is urgent. */
const BEFORE = 5;
let written = BEFORE;
function text(piece: string): StatusChange {
  const offset = written;
  written += piece.length;
  return create(StatusChangeSchema, {
    change: { case: "textAppended", value: { messageId: "m", kind: TextKind.CONTENT, offset, text: piece } },
  });
}

interface Sent {
  readonly sequence: number;
  readonly delta: StatusDelta;
  acknowledge(): void;
  fail(code: Code): void;
}

function setUp(options: Partial<StatusSenderOptions> = {}): {
  sent: Sent[];
  sender: ReturnType<typeof createStatusSender>;
} {
  written = BEFORE;
  const sent: Sent[] = [];
  const sender = createStatusSender({
    ...options,
    send: (delta, sequence) =>
      new Promise((resolve, reject) =>
        sent.push({ sequence, delta, acknowledge: resolve, fail: (code) => reject(new ConnectError("no", code)) }),
      ),
  });
  return { sent, sender };
}

/** The text that the server has after these deltas, whatever way they were cut. */
function received(sent: readonly Sent[]): string {
  return sent
    .flatMap(({ delta }) => delta.changes)
    .map(({ change }) => (change.case === "textAppended" ? change.value.text : ""))
    .join("");
}

describe("status sender", () => {
  it("waits 50 ms for company, and sends it merged", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")]);
    sender.push([text("b")]);
    await vi.advanceTimersByTimeAsync(49);
    expect(sent).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.delta.changes).toHaveLength(1);
    expect(received(sent)).toBe("ab");
  });

  it("sends every tenth event at once, and what is urgent", async () => {
    const { sent, sender } = setUp();
    for (const piece of "0123456789") sender.push([text(piece)]);
    await vi.advanceTimersByTimeAsync(0);
    expect(received(sent)).toBe("0123456789");
    sent[0]?.acknowledge();
    await vi.advanceTimersByTimeAsync(0);
    sender.push([text("!")], { urgent: true });
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toHaveLength(2);
  });

  it("lets a message's first word go at once, of which somebody waits to see that the model answers", async () => {
    const { sent, sender } = setUp();
    written = 0;
    sender.push([text("a")]);
    await vi.advanceTimersByTimeAsync(0);
    expect(received(sent)).toBe("a");
    sent[0]?.acknowledge();
    await vi.advanceTimersByTimeAsync(0);
    sender.push([text("b")]);
    await vi.advanceTimersByTimeAsync(49);
    expect(sent).toHaveLength(1);
  });

  it("has one request in flight, and gathers the rest", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")], { urgent: true });
    for (const piece of "bcdefghijklmnop") sender.push([text(piece)], { urgent: true });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(1);
    sent[0]?.acknowledge();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(received(sent)).toBe("abcdefghijklmnop");
  });

  it("lets what came during a request wait for company as long as all else", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")], { urgent: true });
    await vi.advanceTimersByTimeAsync(10);
    sender.push([text("b")]);
    await vi.advanceTimersByTimeAsync(20);
    sent[0]?.acknowledge();
    await vi.advanceTimersByTimeAsync(29);
    expect(sent).toHaveLength(1);
    sender.push([text("c")]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toHaveLength(2);
    // Longer than that it waits for the request alone.
    sender.push([text("d")]);
    await vi.advanceTimersByTimeAsync(60);
    sent[1]?.acknowledge();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toHaveLength(3);
    expect(received(sent)).toBe("abcd");
  });

  it("repeats a delta that failed, under its number, until it is taken", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")], { urgent: true });
    sent[0]?.fail(Code.Unavailable);
    await vi.advanceTimersByTimeAsync(100);
    sent[1]?.fail(Code.Unavailable);
    await vi.advanceTimersByTimeAsync(200);
    expect(sent.map(({ sequence }) => sequence)).toEqual([1, 1, 1]);
    expect(sent[2]?.delta).toBe(sent[0]?.delta);
  });

  it("stops at a refused fence, and says so once", async () => {
    const onFenced = vi.fn<NonNullable<StatusSenderOptions["onFenced"]>>();
    const { sent, sender } = setUp({ onFenced });
    sender.push([text("a")], { urgent: true });
    sender.push([text("b")], { urgent: true });
    sent[0]?.fail(Code.FailedPrecondition);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toHaveLength(1);
    expect(onFenced).toHaveBeenCalledTimes(1);
    await expect(sender.finish({ deadlineMs: 100 })).rejects.toMatchObject({ code: "failed-precondition" });
  });

  it("finishes when all is acknowledged", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")], { urgent: true });
    sender.push([text("b")]);
    const finished = sender.finish({ deadlineMs: 1_000 });
    sent[0]?.acknowledge();
    await vi.advanceTimersByTimeAsync(0);
    sent[1]?.acknowledge();
    await finished;
    expect(received(sent)).toBe("ab");
  });

  it("gives up at the deadline and sends nothing afterwards", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")], { urgent: true });
    const finished = sender.finish({ deadlineMs: 1_000 });
    const refused = finished.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await refused).toMatchObject({ code: "deadline-exceeded" });
    sent[0]?.fail(Code.Unavailable);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toHaveLength(1);
  });

  it("drops everything when the run is another runner's", async () => {
    const { sent, sender } = setUp();
    sender.push([text("a")]);
    sender.abandon();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(0);
  });
});
