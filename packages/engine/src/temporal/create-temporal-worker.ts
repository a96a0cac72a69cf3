import type { Transport } from "@connectrpc/connect";
import { type Clock, systemClock } from "../clock.ts";
import { type Activities, DEFAULT_ACTIVITY_QUEUE } from "../contract.ts";
import type { Logger } from "../engine.ts";
import { EngineError } from "../errors.ts";
import type { WakeUps } from "../wake-ups.ts";
import type { TemporalTls } from "./connect.ts";
import { loadTemporal } from "./load-temporal.ts";
import type { WorkerSession } from "./open-worker.ts";

export interface TemporalWorkerOptions {
  /** `host:port` of Temporal's frontend. */
  readonly address: string;
  readonly namespace: string;
  /** How Temporal is reached where it is not in clear, and without a key. */
  readonly tls?: TemporalTls;
  readonly apiKey?: string;
  /** Default `agent_execution_runner`. */
  readonly taskQueue?: string;
  readonly activities: Activities;
  /** The way to the server, with whatever authentication it asks for: fences, cancels, pauses and messages come from there. */
  readonly transport: Transport;
  /** Names this process: the same in all its calls, new with each start. */
  readonly runnerId: string;
  /** How many activities to work on at once. */
  readonly maxConcurrency: number;
  /** Told to Temporal with the runner's id, for people. */
  readonly version: string;
  readonly logger: Logger;
  /**
   * Most time between two heartbeats of an activity, in milliseconds. Default 1 000. Temporal's own cancels come with their
   * answers, and a heartbeat time-out that is short makes them more frequent.
   */
  readonly heartbeatMs?: number;
  /** How often to ask the server what is wanted of a run, in milliseconds. Default 1 000. */
  readonly checkMs?: number;
  /** Tells when to ask before that. Default: nothing does. */
  readonly wakeUps?: WakeUps;
  readonly clock?: Clock;
}

export interface TemporalWorker {
  /**
   * Takes activities and works on them until `drain` is done. Rejects with `EngineError` when Temporal can't be reached at
   * the start (`unavailable`), has no such namespace or turns this runner away (`refused`), and when the server does
   * (`turned-away`): what is in flight is handed back before. Once it works, a Temporal or a server that is away is waited for,
   * and work in flight goes on meanwhile.
   */
  run(): Promise<void>;
  /** Resolves when this runner takes work from Temporal. Rejects when `run` ends before that. */
  readonly ready: Promise<void>;
  /** Whether Temporal can give this runner work: it was reached, and answered when it was last asked (every few seconds). */
  readonly connected: boolean;
  /**
   * Takes no more activities and lets those in flight end. After half of `deadlineMs` (milliseconds) they are asked to come to
   * rest, after all of it they are stopped; either way they are handed back, so that another runner goes on with them. Resolves
   * when nothing is left. Repeated calls share the first one's deadline.
   */
  drain(options: { readonly deadlineMs: number }): Promise<void>;
}

/** A runner that gets its work from Temporal: activities only. Workflows of any origin, and in any language, may drive it. */
export function createTemporalWorker(options: TemporalWorkerOptions): TemporalWorker {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const wakeUps: WakeUps = { subscribe: () => () => {} };
  const times = { heartbeatMs: 1_000, checkMs: 1_000, clock: systemClock };
  const defaults = { taskQueue: DEFAULT_ACTIVITY_QUEUE, ...times, wakeUps };
  const settings = { ...defaults, ...(Object.fromEntries(given) as typeof options) } as TemporalWorkerSettings;
  if (settings.runnerId === "") throw new EngineError("invalid-argument", "Expected a runnerId, got an empty one.");
  for (const name of ["maxConcurrency", "heartbeatMs", "checkMs"] as const) {
    if (!(settings[name] >= 1))
      throw new EngineError("invalid-argument", `Expected ${name} of at least 1, got ${String(settings[name])}.`);
  }

  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => {});
  let opening: Promise<WorkerSession> | undefined;
  let opened: WorkerSession | undefined;
  let running: Promise<void> | undefined;
  let draining: Promise<void> | undefined;

  async function open(): Promise<WorkerSession> {
    const { openWorker } = await loadTemporal(() => import("./open-worker.ts"));
    return openWorker(settings);
  }

  async function run(): Promise<void> {
    if (draining) return;
    try {
      opening = open();
      opened = await opening;
      ready.resolve();
      await opened.ended;
    } catch (error) {
      ready.reject(error);
      throw error;
    }
  }

  async function drain(deadlineMs: number): Promise<void> {
    ready.promise.catch(() => {});
    const session = await opening?.catch(() => undefined);
    await session?.drain(deadlineMs);
    await running?.catch(() => {});
    ready.reject(new EngineError("closed", "The worker was drained before it reached Temporal."));
  }

  return {
    ready: ready.promise,
    get connected() {
      return opened?.connected === true;
    },
    run: () => (running ??= run()),
    drain: ({ deadlineMs }) => (draining ??= drain(deadlineMs)),
  };
}

/** The options with their defaults. */
export type TemporalWorkerSettings = Required<Omit<TemporalWorkerOptions, Access>> &
  Pick<TemporalWorkerOptions, Access>;

type Access = "tls" | "apiKey";
