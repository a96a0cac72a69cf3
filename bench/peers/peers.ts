// The job on other platforms' servers, from npm, in turns with ours and with the agent in this process.
import { AT_ONCE, many, openJob, RUNS, type Run, type Times } from "../job/job.ts";
import type { Figure } from "../report.ts";
import { openLangGraph } from "./langgraph.ts";
import { openMastra, openMastraAgent } from "./mastra.ts";
import type { Peer, PeerOptions } from "./peer.ts";

const WARM_UP = 25;
const ROUNDS = 40;
const THROUGHPUT_ROUNDS = 3;

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
  const runs: Runs = { ours: bench.durable, theirs: peer.run, floor: bench.direct };
  const { above, first } = await singles(runs);
  const rounds = { ours: [] as number[], theirs: [] as number[] };
  const disk = { ours: [] as number[], theirs: [] as number[] };
  const all = { ours: bench, theirs: peer };
  for (let round = -1; round < THROUGHPUT_ROUNDS; round += 1) {
    for (const who of ["theirs", "ours"] as const) {
      const before = all[who].diskBytes();
      const took = await many(runs[who], round < 0 ? AT_ONCE : RUNS);
      if (round < 0) continue;
      rounds[who].push(took);
      disk[who].push((all[who].diskBytes() - before) / RUNS / 1_024);
    }
    console.log(`${RUNS} runs, ${AT_ONCE} at once (${round + 1}/${THROUGHPUT_ROUNDS})`);
  }
  const baseline = (samples: readonly number[]): Figure["baseline"] => ({ name: peer.name, samples });
  return [
    {
      name: "a run, over the agent in this process",
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
    { name: "given to the disk, for each run", unit: "KiB", samples: disk.ours, baseline: baseline(disk.theirs) },
  ];
}

type Who = "ours" | "theirs" | "floor";
type Runs = Readonly<Record<Who, Run>>;

/** One at a time, in turns: what a run takes over the floor of its round, and until its first token. */
async function singles(runs: Runs): Promise<Record<"above" | "first", Record<"ours" | "theirs", readonly number[]>>> {
  const times: Record<Who, Times[]> = { ours: [], theirs: [], floor: [] };
  const order: readonly Who[] = ["floor", "theirs", "ours"];
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const who of round % 2 === 0 ? order : order.toReversed()) {
      const took = await runs[who]();
      if (round >= 0) times[who].push(took);
    }
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
