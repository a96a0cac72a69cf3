// What waits for a start, of the programs as npm installs them, in turns with a Node that does nothing.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { packed } from "../packed.ts";
import type { Figure } from "../report.ts";
import { freePort, startProcess } from "../recovery/processes.ts";
import { meterOf } from "../server/process-meter.ts";

const VERSION_ROUNDS = 30;
const START_ROUNDS = 7;
const RUNNER_ROUNDS = 10;
/** Until nothing of the start is under way any more. */
const IDLE_MS = 5_000;

const execute = promisify(execFile);

/** Needs Node, pnpm and npm; `local` Linux's /proc too. */
export function start(): Readonly<Record<string, () => Promise<Figure | readonly Figure[]>>> {
  return { version, local, runner };
}

async function version(): Promise<Figure> {
  const { cli } = await packed();
  await using home = await openHome();
  const samples: number[] = [];
  const baseline: number[] = [];
  for (let round = -2; round < VERSION_ROUNDS; round += 1) {
    const nothing = await timed(() => node(home.env, ["-e", "0"]));
    const told = await timed(() => node(home.env, [cli, "--version"]));
    if (round < 0) continue;
    baseline.push(nothing);
    samples.push(told);
  }
  return { name: "stigmer --version", samples, baseline: { name: "node -e 0", samples: baseline }, aimRatio: 3 };
}

async function local(): Promise<readonly Figure[]> {
  const { cli } = await packed();
  await using home = await openHome();
  const ready: number[] = [];
  const nothing: number[] = [];
  const idle: number[] = [];
  // The first start of all makes what later ones find.
  for (let round = -1; round < START_ROUNDS; round += 1) {
    nothing.push(await timed(() => node(home.env, ["-e", "0"])));
    const took = await timed(() => node(home.env, [cli, "local", "start"]));
    try {
      await sleep(IDLE_MS);
      const { processes } = JSON.parse(await node(home.env, [cli, "local", "status", "--json"])) as LocalStatus;
      if (round >= 0) {
        ready.push(took);
        idle.push(processes.reduce((sum, { pid }) => sum + meterOf(pid).residentMiB(), 0));
      }
    } finally {
      await node(home.env, [cli, "local", "stop"]);
    }
    console.log(`a daemon's start (${round + 1}/${START_ROUNDS})`);
  }
  return [
    {
      name: "stigmer local start → ready",
      samples: ready,
      baseline: { name: "what it may be", samples: [2_000] },
      aimRatio: 1,
      spans: { "node -e 0": nothing },
    },
    {
      name: "memory of server and runner before the first run",
      unit: "MiB",
      samples: idle,
      baseline: { name: "what it may be", samples: [250] },
      aimRatio: 1,
    },
  ];
}

interface LocalStatus {
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
}

async function runner(): Promise<Figure> {
  const programs = await packed();
  await using home = await openHome();
  const port = await freePort();
  const endpoint = `127.0.0.1:${port}`;
  const server = await startProcess([process.execPath, programs.cli, "server", "run", "--port", String(port)], {
    env: home.env,
    ready: "stigmer-server is ready",
  });
  const samples: number[] = [];
  const nothing: number[] = [];
  try {
    for (let round = -1; round < RUNNER_ROUNDS; round += 1) {
      nothing.push(await timed(() => node(home.env, ["-e", "0"])));
      const startedAt = performance.now();
      const runner = await startProcess([process.execPath, programs.runner], {
        env: { ...home.env, STIGMER_BACKEND_ENDPOINT: endpoint },
        ready: "Worker ready",
      });
      if (round >= 0) samples.push(performance.now() - startedAt);
      await runner.stop();
    }
  } finally {
    await server.stop();
  }
  return {
    name: "a runner's start → polling",
    samples,
    baseline: { name: "what it may be", samples: [1_500] },
    aimRatio: 1,
    spans: { "node -e 0": nothing },
  };
}

interface Home extends AsyncDisposable {
  readonly env: Record<string, string>;
}

/** Of a user who has nothing of Stigmer yet, but a key. */
async function openHome(): Promise<Home> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-bench-home-"));
  return {
    env: {
      MODE: "local",
      HOME: folder,
      STIGMER_HOME: join(folder, "stigmer"),
      STIGMER_PORT: String(await freePort()),
      ANTHROPIC_API_KEY: "scripted-model-key",
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
  };
}

/** Answers with what it printed. Throws with what it said when it fails. */
async function node(env: Record<string, string>, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(process.execPath, args, {
    cwd: tmpdir(),
    env: { PATH: process.env["PATH"], ...env },
  });
  return stdout;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
