import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionCommandController, PatchStatusInputSchema } from "@stigmer/protos/agentexecution/v1";
import {
  BeginToolCallRequestSchema,
  BeginToolCallResponseSchema,
  FinishToolCallRequestSchema,
  RememberSandboxRequestSchema,
  RunAnswerSchema,
  RunEntrySchema,
  RunnerController,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { SessionCommandController } from "@stigmer/protos/session/v1";
import {
  type DurablePoint,
  endsOf,
  isLookedAt,
  kindsOf,
  kindsOfMessage,
  type Link,
  namePoint,
} from "./durable-points.ts";
import type { Victim } from "./durable-points.ts";
import type { CarriedCalls, Gatekeeper, PassingCall, Verdict } from "./forwarding-proxy.ts";

/** What the ledger said about one tool call, as the proxy heard it. */
export interface RecordedToolCall {
  readonly tool: string;
  /** Whether it must not be run a second time. */
  readonly once: boolean;
  /** How often a runner was told to run it. A question that was repeated because its answer was lost counts once. */
  readonly starts: number;
  /** Whether a runner was told that nobody knows what came of it. */
  readonly isUnknown: boolean;
}

export interface RecorderOptions {
  /** Where to strike, and whom. Absent: the run is left alone. */
  readonly strike?: { readonly point: DurablePoint; readonly victim: Victim; readonly kill: () => Promise<void> };
  /** Called while a tool call is about to be begun, and while its result is about to be stored. */
  readonly onToolCall?: (callKey: string, moment: "begin" | "finish") => Promise<void>;
}

/** Watches a run from the wire, and strikes once. */
export interface Recorder {
  gatekeeper(link: Link): Gatekeeper;
  /** The durable points that were passed, in their order. */
  readonly points: readonly DurablePoint[];
  /** By call key, in the order of their beginning. */
  toolCalls(): ReadonlyMap<string, RecordedToolCall>;
  /** The calls that had been begun and not finished when the victim was killed: theirs alone may be unknown. */
  readonly openAtStrike: readonly string[];
  /** Whether the strike was made. */
  readonly struck: boolean;
}

interface LedgerEntry {
  readonly tool: string;
  readonly once: boolean;
  readonly requests: Set<string>;
  isOpen: boolean;
  isUnknown: boolean;
}

/** The entries of a stream are the calls that they stand for. */
const runEntries: CarriedCalls = {
  callOf(message) {
    const { number, entry } = fromBinary(RunEntrySchema, message);
    const service = RunnerController.typeName;
    switch (entry.case) {
      case "begin": {
        const request = toBinary(BeginToolCallRequestSchema, entry.value);
        return { number, call: { service, method: "beginToolCall", request } };
      }
      case "finish": {
        const request = toBinary(FinishToolCallRequestSchema, entry.value);
        return { number, call: { service, method: "finishToolCall", request } };
      }
      case "patch": {
        const request = toBinary(PatchStatusInputSchema, entry.value);
        return { number, call: { service: AgentExecutionCommandController.typeName, method: "patchStatus", request } };
      }
      case "remember": {
        const request = toBinary(RememberSandboxRequestSchema, entry.value);
        return { number, call: { service: SessionCommandController.typeName, method: "update", request } };
      }
      case undefined:
        throw new Error("an entry of a run that says nothing");
    }
  },
  answerOf(message) {
    const { number, answer } = fromBinary(RunAnswerSchema, message);
    if (answer.case === "begun") return { number, answer: toBinary(BeginToolCallResponseSchema, answer.value) };
    // What the others say nobody looks at.
    const isStored = answer.case !== "refused" && answer.case !== undefined;
    return isStored ? { number, answer: new Uint8Array() } : { number };
  },
};

export function createRecorder({ strike, onToolCall }: RecorderOptions): Recorder {
  const counts = new Map<string, number>();
  const points: DurablePoint[] = [];
  const ledger = new Map<string, LedgerEntry>();
  let openAtStrike: readonly string[] = [];
  let struck = false;

  const count = (kind: string): number => {
    const ordinal = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, ordinal);
    return ordinal;
  };

  const pass = async (link: Link, point: DurablePoint): Promise<Verdict> => {
    points.push(point);
    if (strike === undefined || struck || namePoint(point) !== namePoint(strike.point)) return "pass";
    struck = true;
    openAtStrike = [...ledger].flatMap(([callKey, { isOpen }]) => (isOpen ? [callKey] : []));
    await strike.kill();
    return endsOf[link].includes(strike.victim) ? "drop" : "pass";
  };

  const entryOf = (request: Uint8Array): { entry: LedgerEntry; callKey: string; requestId: string } => {
    const { callKey, toolName, toolClass, requestId } = fromBinary(BeginToolCallRequestSchema, request);
    let entry = ledger.get(callKey);
    if (entry === undefined) {
      entry = {
        tool: toolName,
        once: toolClass === ToolCallClass.ONCE,
        requests: new Set(),
        isOpen: false,
        isUnknown: false,
      };
      ledger.set(callKey, entry);
    }
    return { entry, callKey, requestId };
  };

  function gatekeeper(link: Link): Gatekeeper {
    const ordinals = new WeakMap<PassingCall, readonly { kind: string; ordinal: number }[]>();
    return {
      reads: (method) => isLookedAt(link, method),
      carries: (method) => (link === "runner" && method === "recordRun" ? runEntries : undefined),
      async onRequest(call) {
        if (link === "runner" && call.method === "beginToolCall") {
          await onToolCall?.(entryOf(call.request).callKey, "begin");
        }
        if (link === "runner" && call.method === "finishToolCall") {
          await onToolCall?.(fromBinary(FinishToolCallRequestSchema, call.request).callKey, "finish");
        }
        const kinds = kindsOf(link, call).map((kind) => ({ kind, ordinal: count(kind) }));
        ordinals.set(call, kinds);
        for (const kind of kinds) if ((await pass(link, { ...kind, side: "before" })) === "drop") return "drop";
        // From here on the server may have stored it.
        if (link === "runner" && call.method === "beginToolCall") entryOf(call.request).entry.isOpen = true;
        return "pass";
      },
      async onAnswer(call, message) {
        if (link === "runner" && call.method === "beginToolCall") {
          const { entry, requestId } = entryOf(call.request);
          const { outcome } = fromBinary(BeginToolCallResponseSchema, message);
          if (outcome.case === "started") entry.requests.add(requestId);
          if (outcome.case === "unknown") entry.isUnknown = true;
          entry.isOpen = outcome.case === "started";
        }
        if (link === "runner" && call.method === "finishToolCall") {
          const entry = ledger.get(fromBinary(FinishToolCallRequestSchema, call.request).callKey);
          if (entry !== undefined) entry.isOpen = false;
        }
        const kinds = [
          ...(ordinals.get(call) ?? []),
          ...kindsOfMessage(link, call, message).map((kind) => ({ kind, ordinal: count(kind) })),
        ];
        for (const kind of kinds) if ((await pass(link, { ...kind, side: "after" })) === "drop") return "drop";
        return "pass";
      },
    };
  }

  return {
    gatekeeper,
    points,
    toolCalls: () =>
      new Map(
        [...ledger].map(([callKey, { tool, once, requests, isUnknown }]) => [
          callKey,
          { tool, once, starts: requests.size, isUnknown },
        ]),
      ),
    get openAtStrike() {
      return openAtStrike;
    },
    get struck() {
      return struck;
    },
  };
}
