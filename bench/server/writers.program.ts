// Those who write: runs under leases, at a pace or as fast as it goes.
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@stigmer/client";
import { MessageType, TextKind } from "@stigmer/protos/agentexecution/v1";
import { holdRuns, type HeldRun } from "./held-runs.ts";
import { LOUD_BYTES } from "./loud.ts";
import { serve } from "./program.ts";
import type { Access } from "./raw-watch.ts";

export type Writers = {
  /** Creates and takes so many runs. The first, which is the loud one, begins with more than a stalled reader's network holds. */
  readonly open: (input: Access & { readonly runs: number }) => Promise<string[]>;
  /** From now on each run is written to so many times a second. */
  readonly begin: (input: { readonly perSecond: number; readonly loudPerSecond: number }) => Promise<void>;
  /** Resolves when nothing is under way any more. */
  readonly end: () => Promise<{ readonly sent: number; readonly late: number }>;
  /** The first so many runs are written to one patch after the other: milliseconds for each patch that is acknowledged. */
  readonly flood: (input: {
    readonly runs: number;
    readonly forMs: number;
    readonly bytes?: number;
  }) => Promise<number>;
};

const QUIET_BYTES = 200;
/** The loud run's beginning. */
const BASE_BYTES = 256 * 1_024;
/** So that a run's status does not grow for ever, a message is taken back when it has so many patches. */
const PATCHES_PER_MESSAGE = 32;

interface Speaker {
  /** One more patch, which says when it was sent. */
  say(bytes: number): Promise<void>;
}

let speakers: Speaker[] = [];
let stop = new AbortController();
let paced: Promise<void>[] = [];
let sent = 0;
let late = 0;

const methods: Writers = {
  async open({ runs, ...access }) {
    const holder = await holdRuns(createClient(access), runs);
    const held = await Promise.all(Array.from({ length: runs }, () => holder.take()));
    const [loud] = held;
    await loud?.patch(started("base"), appended("base", { offset: 0, text: words(BASE_BYTES) }));
    speakers = held.map(speakerOf);
    return held.map(({ id }) => id);
  },
  async begin({ perSecond, loudPerSecond }) {
    stop = new AbortController();
    sent = 0;
    late = 0;
    paced = speakers.map((speaker, index) => {
      const bytes = index === 0 ? LOUD_BYTES : QUIET_BYTES;
      return pace(speaker, { bytes, everyMs: 1_000 / (index === 0 ? loudPerSecond : perSecond) });
    });
  },
  async end() {
    stop.abort();
    await Promise.all(paced);
    return { sent, late };
  },
  async flood({ runs, forMs, bytes = QUIET_BYTES }) {
    const startedAt = performance.now();
    let acknowledged = 0;
    await Promise.all(
      speakers.slice(0, runs).map(async (speaker) => {
        while (performance.now() - startedAt < forMs) {
          await speaker.say(bytes);
          acknowledged += 1;
        }
      }),
    );
    return (performance.now() - startedAt) / acknowledged;
  },
};
serve(methods);

async function pace(
  speaker: Speaker,
  { bytes, everyMs }: { readonly bytes: number; readonly everyMs: number },
): Promise<void> {
  // The writers don't march in step.
  let due = performance.now() + Math.random() * everyMs;
  while (!stop.signal.aborted) {
    await sleep(Math.max(0, due - performance.now()));
    await speaker.say(bytes);
    sent += 1;
    due += everyMs;
    if (due > performance.now()) continue;
    late += 1;
    due = performance.now();
  }
}

function speakerOf(run: HeldRun): Speaker {
  let patches = 0;
  let offset = 0;
  return {
    async say(bytes) {
      const message = `m${Math.floor(patches / PATCHES_PER_MESSAGE)}`;
      const first = patches % PATCHES_PER_MESSAGE === 0;
      const before = `m${Math.floor(patches / PATCHES_PER_MESSAGE) - 1}`;
      if (first) offset = 0;
      patches += 1;
      const text = words(bytes - 24) + `@${process.hrtime.bigint()};`.padEnd(24);
      const change = appended(message, { offset, text });
      offset += text.length;
      const removed = { change: { case: "messageRemoved", value: { messageId: before } } } as const;
      await run.patch(...(first ? [...(patches > 1 ? [removed] : []), started(message), change] : [change]));
    },
  };
}

/** Text that can be packed about as far as a real one. */
function words(bytes: number): string {
  return randomBytes(bytes / 2).toString("hex");
}

function started(messageId: string): Parameters<HeldRun["patch"]>[0] {
  return { change: { case: "messageStarted", value: { messageId, type: MessageType.MESSAGE_AI } } };
}

function appended(
  messageId: string,
  { offset, text }: { readonly offset: number; readonly text: string },
): Parameters<HeldRun["patch"]>[0] {
  const kind = TextKind.CONTENT;
  return { change: { case: "textAppended", value: { messageId, kind, offset, text } } };
}
