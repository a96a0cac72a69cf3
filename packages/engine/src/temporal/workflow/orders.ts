import { fromJson, type JsonValue, toJson, toJsonString } from "@bufbuild/protobuf";
import { ApprovalDecision } from "@stigmer/protos/agentexecution/v1";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { MAX_INBOX_BYTES, MAX_INBOX_ITEMS, MAX_ITEM_BYTES, MAX_REASON_LENGTH } from "../workflow-contract.ts";

const MAX_ID_LENGTH = 128;

/** What people want of a run, as far as its workflow was told. Plain state without a clock: the same calls, the same answers. */
export interface Orders {
  /** The first reason, from the first `cancel` on. */
  readonly cancelReason: string | undefined;
  readonly pause: Rest | undefined;
  /** Oldest first. */
  readonly inbox: readonly InboxItem[];
  cancel(reason: unknown): void;
  askPause(reason: unknown): void;
  resume(): void;
  /** Why the item can't be taken, in one line; undefined when it can. `wanted`: the kind that its sender announced. */
  problemWith(item: InboxItem, wanted: "message" | "approval"): string | undefined;
  /** Keeps an item that has no problem. An id that is there already changes nothing. */
  take(item: InboxItem): void;
  attemptStarts(): void;
  /**
   * The attempt came to rest. It stays at rest unless it was told to go on meanwhile: then `pause` is undefined afterwards.
   */
  attemptRests(rest: Rest): void;
  carry(): CarriedOrders;
}

export interface Rest {
  readonly reason: string;
  /** The run paused without being asked to. */
  readonly itself: boolean;
}

/** {@link Orders} as JSON, for the workflow's next run. */
export interface CarriedOrders {
  readonly cancelReason?: string;
  readonly pause?: Rest;
  readonly inbox: readonly JsonValue[];
}

export function createOrders(carried: CarriedOrders = { inbox: [] }): Orders {
  let { cancelReason, pause } = carried;
  const inbox = carried.inbox.map((item) => fromJson(InboxItemSchema, item));
  let inboxBytes = inbox.reduce((sum, item) => sum + sizeOf(item), 0);
  const ids = new Set(inbox.map(({ id }) => id));
  /** A resume of this attempt ended a pause that was asked for. */
  let resumed = false;
  /** A resume of this attempt came when no pause was known here: its pause is one that the attempt has yet to report. */
  let resumedAhead = false;

  return {
    get cancelReason() {
      return cancelReason;
    },
    get pause() {
      return pause;
    },
    inbox,
    cancel: (reason) => {
      cancelReason ??= textOf(reason) || "The execution was cancelled.";
    },
    askPause: (reason) => {
      pause ??= { reason: textOf(reason), itself: false };
    },
    resume: () => {
      if (pause) resumed = true;
      else resumedAhead = true;
      pause = undefined;
    },
    problemWith: (item, wanted) => {
      const problem = problemOf(item, wanted);
      if (problem !== undefined || ids.has(item.id)) return problem;
      const size = sizeOf(item);
      if (size > MAX_ITEM_BYTES)
        return `It has ${String(size)} bytes; at most ${String(MAX_ITEM_BYTES)} are taken here.`;
      if (inbox.length >= MAX_INBOX_ITEMS || inboxBytes + size > MAX_INBOX_BYTES) {
        return `The run has ${String(inbox.length)} items of ${String(inboxBytes)} bytes already, and no room for more.`;
      }
      return undefined;
    },
    take: (item) => {
      if (ids.has(item.id)) return;
      ids.add(item.id);
      inbox.push(item);
      inboxBytes += sizeOf(item);
    },
    attemptStarts: () => {
      resumed = false;
      resumedAhead = false;
    },
    attemptRests: ({ reason, itself }) => {
      if (resumedAhead || (resumed && !itself && !pause)) return;
      pause = { reason: pause?.reason || reason, itself: itself || (pause?.itself ?? false) };
    },
    carry: () => ({
      ...(cancelReason === undefined ? {} : { cancelReason }),
      ...(pause && { pause }),
      inbox: inbox.map((item) => toJson(InboxItemSchema, item)),
    }),
  };
}

function problemOf({ id, item }: InboxItem, wanted: "message" | "approval"): string | undefined {
  if (id === "" || id.length > MAX_ID_LENGTH) return `It needs an id of 1 to ${String(MAX_ID_LENGTH)} characters.`;
  if (item.case !== wanted)
    return `It has to hold a value "${wanted}", not ${item.case ? `"${item.case}"` : "nothing"}.`;
  if (item.case === "message") return item.value.text === "" ? "Its text is empty." : undefined;
  if (item.value.toolCallId === "") return "Its toolCallId is empty.";
  const { decision } = item.value;
  const isKnown = decision !== ApprovalDecision.UNSPECIFIED && ApprovalDecision[decision] !== undefined;
  return isKnown ? undefined : "Its decision is none that is known.";
}

/** As it travels: text may take six times its length as JSON. */
function sizeOf(item: InboxItem): number {
  return new TextEncoder().encode(toJsonString(InboxItemSchema, item)).byteLength;
}

function textOf(reason: unknown): string {
  return typeof reason === "string" ? reason.slice(0, MAX_REASON_LENGTH) : "";
}
