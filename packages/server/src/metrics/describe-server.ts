import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { Meters } from "@stigmer/telemetry";
import type { ServerMetrics } from "../open-engine.ts";
import type { Store } from "../store/store.ts";

export interface DescribeServerOptions {
  readonly metrics: () => Promise<ServerMetrics>;
  readonly store: Pick<Store, "tasks"> & { readonly executions: Pick<Store["executions"], "count"> };
  /** Whether what else the server stands on answers; undefined where it stands without. */
  readonly connections: Readonly<Record<"redis" | "temporal", () => boolean | undefined>>;
}

/** Milliseconds within which gauges are taken to be asked for by the same scrape. */
const SCRAPE_MS = 500;
/** How old the look at all organizations may be, in milliseconds: it goes through all runs that are open. */
const ORGANIZATIONS_MS = 10_000;
/** How many organizations have a row of their own: each is a series for whoever scrapes, of each server. */
const MOST_ORGANIZATIONS = 20;
/** No slug has this. */
const OTHERS = "_others";
/** How long the store has for an answer, in milliseconds: Prometheus waits ten seconds for all that there is. */
const ANSWER_WITHIN_MS = 5_000;

/** The phases that runs stand in before their end. */
const LIVE = [
  ExecutionPhase.EXECUTION_PENDING,
  ExecutionPhase.EXECUTION_IN_PROGRESS,
  ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL,
  ExecutionPhase.EXECUTION_PAUSED,
] as const;

/** What shows how a server stands, asked for when somebody looks. Answers the function that ends it. */
export function describeServer(meters: Meters, { metrics, store, connections }: DescribeServerOptions): () => void {
  const { executions, tasks } = store;
  const states = { live: 1, polling: 0 } as const;
  const read = onceAWhile(SCRAPE_MS, () => inTime(metrics()));
  const organizations = onceAWhile(ORGANIZATIONS_MS, () => tasks.runsByOrganization({ most: MOST_ORGANIZATIONS }));
  meters.gauge({
    name: "stigmer_server_dependency_up",
    help: "1 while it answers this server, else 0; what the server does without has no row.",
    labels: ["dependency"],
    read: async () => [
      { value: Number(await answers(tasks.state(""))), labels: { dependency: "database" } },
      ...Object.entries(connections).flatMap(([dependency, isUp]) => {
        const up = isUp();
        return up === undefined ? [] : [{ value: Number(up), labels: { dependency } }];
      }),
    ],
  });
  meters.gauge({
    name: "stigmer_server_runs",
    help: "Runs that have not ended, by phase. Servers of one database tell the same.",
    labels: ["phase"],
    read: () =>
      inTime(
        Promise.all(
          LIVE.map(async (phase) => ({
            value: await executions.count({ phase, live: true }),
            labels: { phase: ExecutionPhase[phase] },
          })),
        ),
      ),
  });
  meters.gauge({
    name: "stigmer_server_organization_runs",
    help: "Runs that have not ended, by organization, for the twenty that have the most and all others together. Servers of one database tell the same.",
    labels: ["org", "state"],
    read: async () =>
      (await inTime(organizations())).flatMap(({ org, ...counts }) =>
        Object.entries(counts).map(([state, value]) => ({ value, labels: { org: org === "" ? OTHERS : org, state } })),
      ),
  });
  meters.gauge({
    name: "stigmer_server_tasks",
    help: "Tasks that wait for a runner, or for their turn or time, and those that are in work.",
    labels: ["state"],
    read: async () => {
      const { waiting, leased } = await read();
      return [
        { value: waiting, labels: { state: "waiting" } },
        { value: leased, labels: { state: "leased" } },
      ];
    },
  });
  meters.gauge({
    name: "stigmer_server_oldest_waiting_seconds",
    help: "How long the oldest waiting task has waited; 0 when none waits.",
    read: async () => [{ value: (await read()).oldestWaitingMs / 1_000 }],
  });
  meters.gauge({
    name: "stigmer_server_runners",
    help: "Runners that take tasks from this server. Temporal knows its own.",
    read: async () => [{ value: (await read()).runners.length }],
  });
  meters.gauge({
    name: "stigmer_server_fanout_live",
    help: "1 while other servers are heard, or there are none; 0 while what they do is looked up in the store.",
    read: async () => [{ value: states[(await read()).fanout.state] }],
  });
  meters.gauge({
    name: "stigmer_server_watched",
    help: "Runs, sessions and lists that this server listens to.",
    read: async () => [{ value: (await read()).fanout.subscriptions }],
  });
  meters.gauge({
    name: "stigmer_server_fanout_polls_total",
    help: "How often the store was looked into for what other servers did.",
    counts: true,
    read: async () => [{ value: (await read()).fanout.pollsTotal }],
  });
  meters.gauge({
    name: "stigmer_server_fanout_dropped_total",
    help: "Notices to other servers that could not be sent.",
    counts: true,
    read: async () => [{ value: (await read()).fanout.droppedTotal }],
  });
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  meters.gauge({
    name: "stigmer_server_event_loop_lag_seconds",
    help: "The 99th percentile of how late timers came since the last look.",
    read() {
      const value = delay.count === 0 ? 0 : delay.percentile(99) / 1e9;
      delay.reset();
      return [{ value }];
    },
  });
  return () => delay.disable();
}

/** One look serves all gauges of a scrape: counting a long queue takes the database a while. */
function onceAWhile<T>(ms: number, look: () => Promise<T>): () => Promise<T> {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let latest: Promise<T> | undefined;
  return () => {
    if (latest === undefined || performance.now() - lookedAt > ms) {
      lookedAt = performance.now();
      const looking = look();
      latest = looking;
      // What failed is looked at again by who asks next.
      looking.catch(() => (latest = latest === looking ? undefined : latest));
    }
    return latest;
  };
}

/** A store that is away keeps nobody waiting for what is known without it. */
async function inTime<T>(answer: Promise<T>): Promise<T> {
  const late = new AbortController();
  try {
    return await Promise.race([
      answer,
      sleep(ANSWER_WITHIN_MS, undefined, { signal: late.signal }).then(() => {
        throw new Error("The store did not answer in time.");
      }),
    ]);
  } finally {
    late.abort();
  }
}

async function answers(question: Promise<unknown>): Promise<boolean> {
  return inTime(question).then(
    () => true,
    () => false,
  );
}
