import { clone, create } from "@bufbuild/protobuf";
import {
  type StatusChange,
  StatusChangeSchema,
  type StatusDelta,
  StatusDeltaSchema,
  SubAgentChangedSchema,
  type TextAppended,
  ToolCallChangedSchema,
} from "@stigmer/protos/agentexecution/v1";
import { patchSubAgent, patchToolCall } from "./patch-row.ts";
import { dropUtf8, utf8Length } from "./utf8.ts";

type Change = StatusChange["change"];

/** A text that grows by pieces: joined once at the end, so that merging many deltas stays linear. */
interface Text {
  readonly append: TextAppended;
  readonly pieces: string[];
  end: number;
}

/**
 * One delta that does what the given ones do one after the other:
 * `fold(mergeDeltas(a, b))` is `fold(a)` then `fold(b)`, wherever these apply, and merging is associative. What a later
 * change overrides is gone, text that continues is joined, so a delta waiting for a slow network stays as small as what
 * it says. The arguments are not changed. Costs what they cost together: to merge many, merge them in one call.
 */
export function mergeDeltas(...deltas: readonly StatusDelta[]): StatusDelta {
  const merged: Change[] = [];
  // Where the last change of a row is, as long as nothing after it could make the order matter.
  const latest = new Map<string, number>();
  const texts = new Map<number, Text>();

  const append = (key: string, change: Change): void => {
    latest.set(key, merged.length);
    merged.push(change);
  };

  for (const { change } of deltas.flatMap(({ changes }) => changes)) {
    switch (change.case) {
      case "textAppended": {
        const key = `text/${change.value.kind}/${change.value.messageId}`;
        const at = latest.get(key);
        const text = at === undefined ? undefined : texts.get(at);
        if (text !== undefined && joinText(text, change.value)) break;
        const { value } = change;
        texts.set(merged.length, { append: value, pieces: [value.text], end: value.offset + utf8Length(value.text) });
        append(key, change);
        break;
      }
      case "messageRemoved":
      case "toolCallRemoved":
      case "merged":
        // Rows may begin anew behind one of these: nothing moves across it.
        latest.clear();
        merged.push(change);
        break;
      case undefined:
        merged.push(change);
        break;
      default: {
        const key = rowKey(change);
        const at = latest.get(key);
        const joined = at === undefined ? undefined : joinChanges(merged[at], change);
        if (at === undefined || joined === undefined) append(key, change);
        else merged[at] = joined;
      }
    }
  }

  for (const [at, { append: first, pieces }] of texts) {
    if (pieces.length > 1) merged[at] = { case: "textAppended", value: { ...first, text: pieces.join("") } };
  }
  return create(StatusDeltaSchema, { changes: merged.map((change) => create(StatusChangeSchema, { change })) });
}

type RowChange = Exclude<
  Change,
  { case: "textAppended" | "messageRemoved" | "toolCallRemoved" | "merged" | undefined }
>;

function rowKey(change: RowChange): string {
  switch (change.case) {
    case "messageStarted":
      return `message/${change.value.messageId}`;
    case "messageUsage":
      return `usage/${change.value.messageId}`;
    case "toolCall":
      return `tool-call/${change.value.call?.id ?? ""}`;
    case "subAgent":
      return `sub-agent/${change.value.subAgent?.id ?? ""}`;
    default:
      return change.case;
  }
}

/** Two changes of one row as one; undefined when they must stay two. */
function joinChanges(first: Change | undefined, second: RowChange): Change | undefined {
  switch (second.case) {
    case "todos":
    case "usage":
    case "timing":
    case "messageUsage":
    case "skills":
      return second;
    case "messageStarted":
      return first;
    case "run": {
      // Whether a terminal phase lets a change through depends on its phase, so only equal phases may share one.
      if (first?.case !== "run" || first.value.phase !== second.value.phase) return undefined;
      const { error, startedAt, completedAt, restsByItself } = second.value;
      return {
        case: "run",
        value: {
          ...first.value,
          error: error || first.value.error,
          startedAt: startedAt || first.value.startedAt,
          completedAt: completedAt || first.value.completedAt,
          restsByItself: restsByItself || first.value.restsByItself,
        },
      };
    }
    case "toolCall": {
      if (first?.case !== "toolCall") return undefined;
      const { messageId, call } = second.value;
      // The second may name a message that only begins between the two.
      if (messageId !== "" && messageId !== first.value.messageId) return undefined;
      const value = clone(ToolCallChangedSchema, first.value);
      if (value.call !== undefined && call !== undefined) patchToolCall(value.call, call);
      return { case: "toolCall", value };
    }
    case "subAgent": {
      if (first?.case !== "subAgent") return undefined;
      const value = clone(SubAgentChangedSchema, first.value);
      const change = second.value.subAgent;
      if (value.subAgent !== undefined && change !== undefined) patchSubAgent(value.subAgent, change);
      return { case: "subAgent", value };
    }
  }
}

/** Whether `next` continues, overlaps or repeats the text; what it adds is then added. */
function joinText(text: Text, next: TextAppended): boolean {
  if (next.offset < text.append.offset || next.offset > text.end) return false;
  const end = next.offset + utf8Length(next.text);
  if (end <= text.end) return true;
  const rest = dropUtf8(next.text, text.end - next.offset);
  if (rest === undefined) return false;
  text.pieces.push(rest);
  text.end = end;
  return true;
}
