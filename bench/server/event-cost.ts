// What one more event costs a run that has had ten thousand, against one that has had a hundred: blocks of both, in turns.
import { performance } from "node:perf_hooks";
import { MessageType, TextKind, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import type { Figure } from "../report.ts";
import { until } from "../recovery/until.ts";
import { holdRuns, type HeldRun } from "./held-runs.ts";
import { openServer, type OpenedServer } from "./opened-server.ts";
import { rawWatch, type RawWatch } from "./raw-watch.ts";

const PAIRS = 2;
const OLD = 9_500;
const YOUNG = 50;
/** Of each run. The window is 500 events. */
const BLOCKS = 10;
const BLOCK = 50;

/** Of an event. Its latency was taken each time, the rest over a block. */
interface Costs {
  readonly latencyMs: number[];
  readonly cpuMs: number[];
  readonly wireBytes: number[];
  readonly diskBytes: number[];
}

export async function eventCost(): Promise<readonly Figure[]> {
  await using server = await openServer();
  await using holder = await holdRuns(server.client, 2 * PAIRS + 1);
  const take = async (): Promise<Speaker> => speakerOf(await holder.take());
  const pairs: { readonly young: Speaker; readonly old: Speaker }[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) pairs.push({ young: await take(), old: await take() });
  // Where others stand behind them, as they do in a store: the newest run's log, at the end of its table, costs less to write.
  const newest = await take();
  const startedAt = performance.now();
  await Promise.all(pairs.map(({ old }) => old.say(OLD)));
  for (const run of [...pairs.map(({ young }) => young), newest]) await run.say(YOUNG);
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`${PAIRS} runs have ${OLD} events each, after ${seconds.toFixed(0)} s`);

  const costs = { old: noCosts(), young: noCosts() };
  for (const [pair, { young, old }] of pairs.entries()) {
    const watches = { old: await watched(server, old), young: await watched(server, young) };
    for (let block = 0; block < BLOCKS; block += 1) {
      const turns = [
        () => measure(server, { run: young, watch: watches.young, costs: costs.young }),
        () => measure(server, { run: old, watch: watches.old, costs: costs.old }),
      ];
      for (const turn of block % 2 === 0 ? turns : turns.toReversed()) await turn();
    }
    watches.old.close();
    watches.young.close();
    console.log(`events ${OLD} to ${OLD + BLOCKS * BLOCK} of a run (${pair + 1}/${PAIRS})`);
  }
  const figure = (name: string, what: keyof Costs, unit: string): Figure => ({
    name: `${name}, around 10,000 events`,
    unit,
    samples: costs.old[what],
    baseline: { name: "around 100", samples: costs.young[what] },
    aimRatio: 1.2,
  });
  return [
    figure("an event: the server's CPU", "cpuMs", "ms"),
    figure("an event: sent and acknowledged", "latencyMs", "ms"),
    figure("an event: on the wire to a watcher", "wireBytes", "bytes"),
    figure("an event: written to the disk", "diskBytes", "bytes"),
  ];
}

function noCosts(): Costs {
  return { cpuMs: [], latencyMs: [], wireBytes: [], diskBytes: [] };
}

/** A watcher that reads, and has read all that there is by now. */
async function watched({ access }: OpenedServer, { id, revision }: Speaker): Promise<RawWatch> {
  const watch = await rawWatch(access, id);
  watch.read();
  await until(() => watch.revision === revision(), "the watcher's first picture");
  return watch;
}

async function measure(
  { meter }: OpenedServer,
  { run, watch, costs }: { readonly run: Speaker; readonly watch: RawWatch; readonly costs: Costs },
): Promise<void> {
  const before = { cpu: meter.cpuMs(), wire: watch.bytes, disk: meter.diskBytes() };
  await run.say(BLOCK, costs.latencyMs);
  await until(() => watch.revision === run.revision(), "the watcher");
  costs.cpuMs.push((meter.cpuMs() - before.cpu) / BLOCK);
  costs.wireBytes.push((watch.bytes - before.wire) / BLOCK);
  costs.diskBytes.push((meter.diskBytes() - before.disk) / BLOCK);
}

interface Speaker {
  readonly id: string;
  /** The run's, after the last event. */
  revision(): number;
  /** So many events more, one after the other, each acknowledged before the next; `took` gets the milliseconds of each. */
  say(events: number, took?: number[]): Promise<void>;
}

type Change = Parameters<HeldRun["patch"]>[0];

/** What an agent says and does, over and over: each twenty events a message, seventeen pieces of its text, and a tool call. */
const EVENTS_PER_TURN = 20;
const PIECE = "and so we go on to the next of the files, which is much like this one; ";
const RESULT = "one line of what the command said\n".repeat(10);

function speakerOf(run: HeldRun): Speaker {
  let count = 0;
  let revision = 0;
  let offset = 0;
  const event = (): Change => {
    const turn = Math.floor(count / EVENTS_PER_TURN);
    const step = count % EVENTS_PER_TURN;
    const messageId = `message-${turn}`;
    const call = { id: `call-${turn}`, name: "execute" };
    if (step === 0) {
      offset = 0;
      return { change: { case: "messageStarted", value: { messageId, type: MessageType.MESSAGE_AI } } };
    }
    if (step === EVENTS_PER_TURN - 2) {
      const running = { ...call, args: { command: "make test" }, status: ToolCallStatus.TOOL_CALL_RUNNING };
      return { change: { case: "toolCall", value: { messageId, call: running } } };
    }
    if (step === EVENTS_PER_TURN - 1) {
      const completed = { ...call, result: RESULT, status: ToolCallStatus.TOOL_CALL_COMPLETED };
      return { change: { case: "toolCall", value: { messageId, call: completed } } };
    }
    const piece = { messageId, kind: TextKind.CONTENT, offset, text: PIECE };
    offset += PIECE.length;
    return { change: { case: "textAppended", value: piece } };
  };
  return {
    id: run.id,
    revision: () => revision,
    async say(events, took) {
      for (let said = 0; said < events; said += 1) {
        const change = event();
        const sentAt = performance.now();
        revision = await run.patch(change);
        took?.push(performance.now() - sentAt);
        count += 1;
      }
    },
  };
}
