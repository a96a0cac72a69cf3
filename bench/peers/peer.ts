// A peer's server in a process of its own, and one run of the job on it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { type Seen, type Times, timesOf } from "../job/times-of.ts";
import { freePort, startProcess } from "../recovery/processes.ts";
import { meterOfTree } from "../server/process-meter.ts";

const READY_WITHIN_MS = 120_000;

export interface PeerOptions {
  readonly modelUrl: string;
  /** How many runs it is to take at once. */
  readonly atOnce: number;
}

export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** Does the job once. Throws when it was not done: two tool calls, and the whole answer. */
  readonly run: () => Promise<Times>;
  /** Bytes that its processes had written to a disk. */
  diskBytes(): number;
}

interface Place {
  readonly port: number;
  readonly workspaces: string;
  readonly data: string;
}

export interface PeerDescription {
  readonly name: string;
  /** Where its process runs. */
  readonly folder: string;
  readonly command: (place: Place) => readonly [string, ...string[]];
  readonly env: (place: Place) => Record<string, string>;
  /** Submits the job, and streams what the server says of it until its end. */
  readonly events: (url: string) => AsyncIterable<unknown>;
  readonly read: (event: unknown) => Seen;
}

export async function openPeer({ name, folder, command, env, events, read }: PeerDescription): Promise<Peer> {
  const data = await mkdtemp(join(tmpdir(), "stigmer-bench-peer-"));
  const place: Place = { port: await freePort(), data, workspaces: join(data, "workspaces") };
  const url = `http://127.0.0.1:${place.port}`;
  const server = await startProcess(command(place), {
    env: { ...env(place), HOME: data },
    ready: (gone) => answers(url, gone),
    cwd: folder,
    group: true,
  }).catch(async (error: unknown) => {
    await rm(data, { recursive: true, force: true });
    throw error;
  });
  return {
    name,
    diskBytes: () => meterOfTree(server.child.pid).diskBytes(),
    run: () => timesOf(events(url), { name, startedAt: performance.now(), read }),
    async [Symbol.asyncDispose]() {
      await server.kill();
      await rm(data, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function answers(url: string, gone: AbortSignal): Promise<void> {
  for (const deadline = Date.now() + READY_WITHIN_MS; !gone.aborted && Date.now() < deadline;) {
    if (await fetch(url).catch(() => undefined)) return;
    await sleep(50);
  }
  throw new Error(`Nothing answered at ${url}.`);
}
