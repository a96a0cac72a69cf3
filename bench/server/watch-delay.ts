// A thousand watchers, once with one among them who reads nothing, once without, in turns; then what the server holds for such.
import { setTimeout as sleep } from "node:timers/promises";
import { quantile, type Figure } from "../report.ts";
import { openServer, type OpenedServer } from "./opened-server.ts";
import { openProgram, type Program } from "./program.ts";
import { rawWatch } from "./raw-watch.ts";
import type { Watchers } from "./watchers.program.ts";
import { LOUD_BYTES } from "./loud.ts";
import type { Writers } from "./writers.program.ts";

const RUNS = 50;
const WATCHERS_EACH = 20;
/** Runs are shared out among so many processes of watchers. */
const WATCHER_PROCESSES = 2;
/** More would fill two cores by themselves; what came out then would be the machine's queue. */
const PER_SECOND = 1;
/** The run that the stalled reader asked for: within a phase, what waits for it passes the server's limit. */
const LOUD_PER_SECOND = 10;

/** Each of four phases: without the stalled reader, twice with it, without. */
const ROUNDS = 8;
const SETTLE_MS = 500;
const PHASE_MS = 3_000;

const THROUGHPUT_ROUNDS = 6;
const THROUGHPUT_MS = 1_000;

const MANY_STALLED = 100;
const MEMORY_ROUNDS = 3;
const MEMORY_MS = 3_000;
/** Of one slow watcher: what waits for it, the network's window, and the whole status that it is being told. */
const BOUND_MIB = 1 + 1 / 16 + 0.75;

export async function watchDelay(): Promise<readonly Figure[]> {
  await using server = await openServer();
  await using writers = openProgram<Writers>(new URL("./writers.program.ts", import.meta.url));
  const ids = await writers.ask("open", { ...server.access, runs: RUNS });
  return [
    ...(await delays(server, writers, ids)),
    await throughput(server, writers),
    await memory(server, writers, ids[0] ?? ""),
  ];
}

interface Phase {
  readonly p50: number;
  readonly p99: number;
  /** Of the server, for each delivery, with its part of the patch. */
  readonly cpuMs: number;
}

function inWords(phases: readonly Phase[]): string {
  const [p50, p99] = (["p50", "p99"] as const).map((part) => phases.slice(-2).map((each) => each[part].toFixed(1)));
  return `p50 ${p50?.join(" and ")}, p99 ${p99?.join(" and ")} ms`;
}

async function delays(server: OpenedServer, writers: Program<Writers>, ids: readonly string[]): Promise<Figure[]> {
  await using programs = new AsyncDisposableStack();
  const watchers = Array.from({ length: WATCHER_PROCESSES }, () =>
    programs.use(openProgram<Watchers>(new URL("./watchers.program.ts", import.meta.url))),
  );
  const share = Math.ceil(ids.length / watchers.length);
  await Promise.all(
    watchers.map((program, index) =>
      program.ask("open", {
        ...server.access,
        ids: ids.slice(index * share, (index + 1) * share),
        each: WATCHERS_EACH,
      }),
    ),
  );
  console.log(`${RUNS * WATCHERS_EACH} watchers on ${RUNS} runs look on`);
  await writers.ask("begin", { perSecond: PER_SECOND, loudPerSecond: LOUD_PER_SECOND });

  const taken = async (): Promise<number[]> =>
    (await Promise.all(watchers.map((program) => program.ask("delays", undefined)))).flatMap((each) => [...each]);
  const phase = async (): Promise<Phase> => {
    await sleep(SETTLE_MS);
    await taken();
    const before = server.meter.cpuMs();
    await sleep(PHASE_MS);
    const cpuMs = server.meter.cpuMs() - before;
    const samples = await taken();
    return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99), cpuMs: cpuMs / samples.length };
  };
  // The first phases are the compiler's.
  await phase();
  await phase();
  const withStalled: Phase[] = [];
  const without: Phase[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    without.push(await phase());
    const reader = await rawWatch(server.access, ids[0] ?? "");
    withStalled.push(await phase(), await phase());
    reader.close();
    without.push(await phase());
    console.log(
      `watch delay (${round + 1}/${ROUNDS}): ${inWords(withStalled)} with a stalled reader, ${inWords(without)} without`,
    );
  }
  const { sent, late } = await writers.ask("end", undefined);
  console.log(`${sent} patches were sent, ${late} of them later than planned`);
  const baseline = (part: "p50" | "p99"): Figure["baseline"] => ({
    name: "without one",
    samples: without.map((each) => each[part]),
  });
  const samples = (part: "p50" | "p99"): number[] => withStalled.map((each) => each[part]);
  // Told beside, because a busy machine can't disturb it as much.
  const spans = {
    "the server's CPU for a delivery, with a stalled reader": withStalled.map(({ cpuMs }) => cpuMs),
    "the server's CPU for a delivery, without": without.map(({ cpuMs }) => cpuMs),
  };
  const what = "from a patch's sending to its watcher, of a phase with a stalled reader";
  return [
    { name: `p50 ${what}`, samples: samples("p50"), baseline: baseline("p50") },
    { name: `p99 ${what}`, samples: samples("p99"), baseline: baseline("p99"), aimRatio: 1.2, spans },
  ];
}

/** What writers gain from sharing a disk flush. */
async function throughput({ meter }: OpenedServer, writers: Program<Writers>): Promise<Figure> {
  const together: number[] = [];
  const alone: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round < THROUGHPUT_ROUNDS; round += 1) {
    alone.push(await writers.ask("flood", { runs: 1, forMs: THROUGHPUT_MS }));
    const before = meter.cpuMs();
    const each = await writers.ask("flood", { runs: RUNS, forMs: THROUGHPUT_MS });
    cpu.push(((meter.cpuMs() - before) * each) / THROUGHPUT_MS);
    together.push(each);
  }
  console.log(`${RUNS} writers: ${(1_000 / quantile(together, 0.5)).toFixed(0)} patches a second are acknowledged`);
  return {
    name: `a patch acknowledged, of ${RUNS} writers at once`,
    samples: together,
    baseline: { name: "of one writer alone", samples: alone },
    spans: { "the server's CPU": cpu },
  };
}

/** What the server holds for readers who read nothing, while much is said. */
async function memory(server: OpenedServer, writers: Program<Writers>, id: string): Promise<Figure> {
  const samples: number[] = [];
  const baseline: number[] = [];
  const phase = async (into: number[]): Promise<void> => {
    const flood = writers.ask("flood", { runs: 1, forMs: MEMORY_MS, bytes: LOUD_BYTES });
    const timer = setInterval(() => into.push(server.meter.residentMiB()), 100);
    await flood.finally(() => clearInterval(timer));
  };
  // What the heap has grown to once, it keeps.
  await phase([]);
  for (let round = 0; round < MEMORY_ROUNDS; round += 1) {
    await phase(baseline);
    const stalled = await Promise.all(Array.from({ length: MANY_STALLED }, () => rawWatch(server.access, id)));
    await phase(samples);
    for (const reader of stalled) reader.close();
    console.log(`what the server holds for ${MANY_STALLED} stalled readers (${round + 1}/${MEMORY_ROUNDS})`);
  }
  return {
    name: `memory of the server with ${MANY_STALLED} stalled readers`,
    unit: "MiB",
    samples,
    baseline: { name: "without them", samples: baseline },
    aimMs: MANY_STALLED * BOUND_MIB,
  };
}
