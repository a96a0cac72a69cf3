import { type StatusDelta, TextKind } from "@stigmer/protos/agentexecution/v1";
import { StatusError } from "./errors.ts";
import { messageRow, type StatusIndex, textBytes } from "./status-index.ts";
import { dropUtf8, utf8Length } from "./utf8.ts";

/** Bytes of a message's texts as they will be in the middle of a delta. */
interface Lengths {
  content: number;
  reasoning: number;
}

/**
 * Throws a {@link StatusError} when some change of the delta does not fit the status, before any of them is applied: a
 * delta is applied whole or not at all. Costs what the delta costs. What the delta itself takes back later needs not fit:
 * in a repeated delta its message is gone already.
 */
export function checkDelta(index: StatusIndex, delta: StatusDelta): void {
  // What the changes before this one do to messages; undefined is a message that they remove.
  const overlay = new Map<string, Lengths | undefined>();
  let base: StatusIndex | undefined = index;

  const find = (messageId: string): Lengths | undefined => {
    if (overlay.has(messageId)) return overlay.get(messageId);
    const row = base?.messages.get(messageId);
    return row && { content: textBytes(row, TextKind.CONTENT), reasoning: textBytes(row, TextKind.REASONING) };
  };

  const end = takenBackUntil(delta);
  for (const [at, { change }] of delta.changes.entries()) {
    switch (change.case) {
      case "messageStarted":
        if (find(change.value.messageId) === undefined) {
          overlay.set(change.value.messageId, { content: 0, reasoning: 0 });
        }
        break;
      case "messageRemoved":
        overlay.set(change.value.messageId, undefined);
        break;
      case "merged":
        if (change.value.messages.length === 0) break;
        overlay.clear();
        base = undefined;
        for (const message of change.value.messages) {
          const row = messageRow(message);
          if (message.id !== "") overlay.set(message.id, { content: row.contentBytes, reasoning: row.reasoningBytes });
        }
        break;
      case "toolCall":
        if (change.value.messageId === "" || end(change.value.messageId) > at) break;
        if (find(change.value.messageId) === undefined) {
          throw unknownMessage(change.value.messageId, `tool call ${change.value.call?.id ?? ""}`);
        }
        break;
      case "messageUsage":
        if (end(change.value.messageId) > at) break;
        if (find(change.value.messageId) === undefined) throw unknownMessage(change.value.messageId, "usage");
        break;
      case "textAppended": {
        const { messageId, offset, text } = change.value;
        if (end(messageId) > at) break;
        const key = change.value.kind === TextKind.REASONING ? "reasoning" : "content";
        const lengths = find(messageId);
        if (lengths === undefined) throw unknownMessage(messageId, "text");
        const have = lengths[key];
        if (offset > have) {
          throw new StatusError(
            "text-gap",
            `Text for message ${messageId} begins at byte ${offset}, but its ${key} has only ${have}: an earlier delta is missing. Ask for a snapshot.`,
          );
        }
        const length = offset + utf8Length(text);
        if (length <= have) break;
        if (dropUtf8(text, have - offset) === undefined) {
          throw new StatusError(
            "text-boundary",
            `Text for message ${messageId} begins at byte ${offset} and does not continue its ${key} of ${have} bytes at a character.`,
          );
        }
        overlay.set(messageId, { ...lengths, [key]: length });
        break;
      }
      default:
        break;
    }
  }
}

/** For a message the place in the delta where it is last taken back, -1 if never. */
function takenBackUntil(delta: StatusDelta): (messageId: string) => number {
  const removed = new Map<string, number>();
  let replaced = -1;
  for (const [at, { change }] of delta.changes.entries()) {
    if (change.case === "messageRemoved") removed.set(change.value.messageId, at);
    else if (change.case === "merged" && change.value.messages.length > 0) replaced = at;
  }
  return (messageId) => Math.max(replaced, removed.get(messageId) ?? -1);
}

function unknownMessage(messageId: string, what: string): StatusError {
  return new StatusError(
    "unknown-row",
    `There is no message ${messageId} that ${what} could belong to: an earlier delta is missing. Ask for a snapshot.`,
  );
}
