import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { applyAgents, scenario } from "./agents.ts";
import { type AttendedRun, attendRuns, problemsOf, type RunKind, SETTLE_MS } from "./attended-run.ts";
import { startEffects } from "./effects.ts";
import { lookForForeign } from "./foreign-eyes.ts";
import { type Installation, partsOf, startInstallation } from "./installation.ts";
import { leftoversOfParts, leftoversOfRuns, leftoversOfSessions } from "./leftovers.ts";

// Runs of two organisations, kept at so many under way, while one part of the installation after the other is killed at random.
// STIGMER_STORM_SEED repeats a storm's choices; STIGMER_STORM_SECONDS and STIGMER_STORM_RUNS say how long and how much.

const seed = Number(process.env["STIGMER_STORM_SEED"] ?? randomInt(2 ** 31));
const seconds = Number(process.env["STIGMER_STORM_SECONDS"] ?? 60);
const liveRuns = Number(process.env["STIGMER_STORM_RUNS"] ?? 12);
/** Between two deaths: longer than a part's start on a machine that has little else to do. */
const CALM_MS: readonly [number, number] = [4_000, 12_000];

const ORGS = ["acme", "globex"] as const;
const canaryOf = (org: string): string => `canary-of-${org}`;
const KINDS: readonly RunKind[] = ["book", "book", "approve", "delegate", "queued", "cancel", "keep"];

it(
  `keeps every promise while anything of it dies (STIGMER_STORM_SEED=${seed})`,
  // A machine with much else to do starts it within minutes, and looks for leftovers as long.
  { timeout: seconds * 1_000 + SETTLE_MS + 900_000 },
  async () => {
    console.log(`STIGMER_STORM_SEED=${seed}: ${liveRuns} runs under way for ${seconds} s`);
    await using effects = await startEffects();
    await using cloud = await startInstallation({ scenario, orgs: ORGS, concurrency: Math.ceil(liveRuns / 2) });
    for (const org of ORGS) await applyAgents(cloud.client(org), effects.url);
    const tooLate = AbortSignal.timeout(seconds * 1_000 + SETTLE_MS);
    const over = new AbortController();
    const eyes = ORGS.map((org) => ({ org, client: cloud.client(org) }));
    const foreign = lookForForeign(eyes, { over: over.signal, canaryOf });
    const until = Date.now() + seconds * 1_000;
    const killing = killAtRandom(cloud, { random: randomOf(seed), until, tooLate });
    const runs: AttendedRun[] = [];
    const refused: string[] = [];
    await Promise.all(
      Array.from({ length: liveRuns }, async (_, lane) => {
        const random = randomOf(seed + 1 + lane);
        const org = ORGS[lane % ORGS.length] ?? ORGS[0];
        const client = cloud.client(org);
        for (let turn = 0; Date.now() < until; turn++) {
          const kind = KINDS[Math.floor(random() * KINDS.length)] ?? "book";
          const name = `${canaryOf(org)}-${lane}-${turn}`;
          try {
            const started = await attendRuns(client, { kind, name, signal: tooLate });
            runs.push(...started);
            await Promise.all(started.map(({ watched }) => watched));
          } catch (error) {
            refused.push(`${kind} ${name} was not taken: ${String(error)}`);
          }
        }
      }),
    );
    const settled = Date.now() - until;
    const deaths = await killing;
    const down = await Promise.race([allUp(cloud), aborted(tooLate).then(() => notReady(cloud))]);
    over.abort();
    const seen = await foreign;
    const problems = [
      ...seen.problems,
      ...refused,
      ...down,
      ...(await Promise.all(runs.map((run) => problemsOf(run, effects)))).flat(),
      ...(await leftoversOfRuns(cloud)),
      ...(await leftoversOfSessions(
        cloud,
        eyes.map(({ client }) => client),
      )),
    ];
    await cloud.stopWork();
    problems.push(...(await leftoversOfParts(cloud)), ...unexpectedEnds(cloud));
    const died = [...deaths].map(([name, count]) => `${name} ${count}`).join(", ");
    const least = Math.max(0, Math.round(settled / 1_000));
    console.log(
      `${runs.length} runs ended, the last ${least} s after the storm; ${effects.counts.size} effects, ${seen.refusals} refusals of what is foreign; deaths: ${died}`,
    );
    if (problems.length > 0) console.log(`What each part printed is in ${await cloud.keepLogs()}`);
    expect(problems, problems.join("\n")).toEqual([]);
    // It would prove nothing without.
    expect(runs.length).toBeGreaterThanOrEqual(liveRuns);
    expect(effects.counts.size).toBeGreaterThan(0);
    expect(seen.refusals).toBeGreaterThan(0);
    expect(deaths.size).toBeGreaterThan(0);
  },
);

/** Kills one part after the other and starts it again; answers how often each has died. */
async function killAtRandom(
  cloud: Installation,
  options: { readonly random: () => number; readonly until: number; readonly tooLate: AbortSignal },
): Promise<Map<string, number>> {
  const { random, until, tooLate } = options;
  const { servers, runners } = cloud.parts;
  const victims = partsOf(cloud);
  const deaths = new Map<string, number>();
  while (Date.now() < until) {
    const [least, most] = CALM_MS;
    await sleep(least + random() * (most - least));
    const victim = victims[Math.floor(random() * victims.length)];
    if (!victim?.isReady || Date.now() > until) continue;
    console.log(`${new Date().toISOString()} ${victim.name} is killed`);
    deaths.set(victim.name, (deaths.get(victim.name) ?? 0) + 1);
    await victim.kill();
    // Runners and servers come back while others die; of the rest there is one.
    const back = victim.start();
    if (!servers.includes(victim) && !runners.includes(victim)) await Promise.race([back, aborted(tooLate)]);
  }
  return deaths;
}

async function allUp(cloud: Installation): Promise<string[]> {
  await Promise.all(partsOf(cloud).map((part) => part.start()));
  return [];
}

const notReady = (cloud: Installation): string[] =>
  partsOf(cloud).flatMap(({ isReady, name, ends }) => (isReady ? [] : [`${name} did not come back: ${ends.at(-1)}`]));

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

/** A part may fail to start while what it needs is away; at work it ends for nobody's sake but its killer's. */
function unexpectedEnds(cloud: Installation): string[] {
  return partsOf(cloud).flatMap(({ ends }) => ends.filter((end) => end.includes("ended at work")));
}

/** Numbers from 0 to 1 that a seed gives again (mulberry32). */
function randomOf(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
