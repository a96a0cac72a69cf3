// The job on other platforms' servers, from npm, in turns with ours and with deepagents in this process.
import { setTimeout as sleep } from "node:timers/promises";
import { AT_ONCE, BATCHES, FLOORS, kibOfEach, many, openJob, RUNS, type Run, WARM_UP } from "../job/job.ts";
import type { Times } from "../job/times-of.ts";
import type { Figure } from "../report.ts";
import { openLangGraph } from "./langgraph.ts";
import { openMastra, openMastraAgent } from "./mastra.ts";
import type { Peer, PeerOptions } from "./peer.ts";

const ROUNDS = 60;

/** Until a platform that writes some seconds later has done so, in milliseconds. */
const WRITTEN_AFTER_MS = 10_000;

interface Against {
  readonly open: (options: PeerOptions) => Promise<Peer>;
  /** Default: it is told, and held against nothing. */
  readonly aims?: {
    /** Of what it takes over the floor, the part that ours may. */
    readonly latency: number;
    /** How often its runs in a second ours are to be. */
    readonly throughput: number;
  };
}

/** Needs npm, and Linux's /proc. */
export function peers(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  return {
    langgraph: () => against({ open: openLangGraph, aims: { latency: 0.6, throughput: 2 } }),
    mastra: () => against({ open: openMastra, aims: { latency: 0.6, throughput: 1.4 } }),
    // Another agent: what it takes says nothing of what the platforms add to the same one.
    "mastra-agent": () => against({ open: openMastraAgent }),
  };
}

async function against({ open, aims }: Against): Promise<readonly Figure[]> {
  await using bench = await openJob();
  await using peer = await open({ modelUrl: bench.modelUrl, atOnce: AT_ONCE });
  const runs: Runs = { ours: bench.durable, theirs: peer.run, floor: bench.plain };
  for (const run of Object.values(runs)) await many(run, WARM_UP);
  const { above, first } = await singles(runs);
  const rounds = { ours: [] as number[], theirs: [] as number[] };
  const before = { ours: bench.diskBytes(), theirs: peer.diskBytes() };
  for (let round = 0; round < BATCHES; round += 1) {
    for (const who of ["theirs", "ours"] as const) rounds[who].push(await many(runs[who], RUNS));
    console.log(`${RUNS} runs, ${AT_ONCE} at once (${round + 1}/${BATCHES})`);
  }
  await sleep(WRITTEN_AFTER_MS);
  const baseline = (samples: readonly number[]): Figure["baseline"] => ({ name: peer.name, samples });
  return [
    {
      name: `a run, over ${FLOORS.plain}`,
      samples: above.ours,
      baseline: baseline(above.theirs),
      ...(aims && { aimRatio: aims.latency }),
    },
    { name: "submit → first token", samples: first.ours, baseline: baseline(first.theirs) },
    {
      name: `milliseconds a run, ${AT_ONCE} at once, ${RUNS} runs`,
      samples: rounds.ours,
      baseline: baseline(rounds.theirs),
      ...(aims && { aimRatio: 1 / aims.throughput }),
    },
    {
      name: "given to the disk, for each run",
      unit: "KiB",
      samples: [kibOfEach(bench.diskBytes() - before.ours)],
      baseline: baseline([kibOfEach(peer.diskBytes() - before.theirs)]),
    },
  ];
}

type Who = "ours" | "theirs" | "floor";
type Runs = Readonly<Record<Who, Run>>;

/** Each comes as often after either of the others, and never after itself: what a run leaves to be done, the next one has beside it. */
const ORDERS: readonly (readonly Who[])[] = [
  ["floor", "theirs", "ours"],
  ["theirs", "ours", "floor"],
  ["ours", "floor", "theirs"],
  ["floor", "ours", "theirs"],
  ["ours", "theirs", "floor"],
  ["theirs", "floor", "ours"],
];

/** One at a time, in turns: what a run takes over the floor of its round, and until its first token. */
async function singles(runs: Runs): Promise<Record<"above" | "first", Record<"ours" | "theirs", readonly number[]>>> {
  const times: Record<Who, Times[]> = { ours: [], theirs: [], floor: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = ORDERS[round % ORDERS.length] as readonly Who[];
    for (const who of order) times[who].push(await runs[who]());
    if (round % 20 === 19) console.log(`a run of one job (${round + 1}/${ROUNDS})`);
  }
  const above = (who: Who): readonly number[] =>
    times[who].map(({ whole }, round) => whole - (times.floor[round]?.whole ?? Number.NaN));
  const first = (who: Who): readonly number[] => times[who].map(({ token }) => token);
  return {
    above: { ours: above("ours"), theirs: above("theirs") },
    first: { ours: first("ours"), theirs: first("theirs") },
  };
}
