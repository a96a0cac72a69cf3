import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { repository, start, type Started } from "./stigmer.ts";

// A run is killed at each of its durable points, with real processes, and ends as if nothing had happened.

const files = join(repository, "e2e/chaos");
const AGENT = ["chaos", "run", join(files, "agent.yaml"), "Keep the books"];
const ARGS = [...AGENT, "--scenario", join(files, "scenario.yaml"), "--workspace", join(files, "workspace")];

interface Repetition {
  readonly type: "repetition";
  readonly point: string;
  readonly victim: string;
  readonly same: boolean;
  readonly unknown: number;
  readonly differences: readonly string[];
}

interface Sweep {
  readonly points: readonly string[];
  readonly toolCalls: readonly { tool: string; once: boolean; starts: number }[];
  readonly repetitions: readonly Repetition[];
  readonly exitCode: number;
}

async function sweep(...more: string[]): Promise<Sweep> {
  const { exitCode, stdout, stderr } = await start([...ARGS, "--json", ...more], { env: { HOME: tmpdir() } }).result;
  const lines = stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { type: string }]));
  const begin = lines.find(({ type }) => type === "undisturbed") as unknown as Pick<Sweep, "points" | "toolCalls">;
  expect(begin, stdout + stderr).toBeDefined();
  // Whatever is told below would say nothing.
  expect(lines.filter(({ type }) => type === "unrepeatable")).toEqual([]);
  const repetitions = lines.filter(({ type }) => type === "repetition") as unknown as Repetition[];
  return { ...begin, repetitions, exitCode };
}

const different = ({ repetitions }: Sweep): Repetition[] => repetitions.filter(({ same }) => !same);
const left = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter((name) => name.startsWith("stigmer-chaos-"));

let before: string[];
beforeAll(async () => {
  before = await left();
});
afterAll(async () => {
  expect(await left()).toEqual(before);
});

describe("the embedded engine", () => {
  it("every point, killing runner and server", { timeout: 20 * 60_000 }, async () => {
    const done = await sweep("--victims", "runner,server");
    expect(different(done)).toEqual([]);
    expect(done.exitCode).toBe(0);
    expect(done.toolCalls).toHaveLength(3);
    for (const call of done.toolCalls) expect(call).toMatchObject({ once: true, starts: 1 });
    // Both sides of all that is stored: the submission, the lease, each intent and result, the last word.
    expect(done.points).toEqual(
      expect.arrayContaining([
        "after lease 1",
        ...["create 1", "beginToolCall 3", "finishToolCall 3", "patchStatus(completed) 1"].flatMap((point) => [
          `before ${point}`,
          `after ${point}`,
        ]),
      ]),
    );
    // The last word has ended the lease.
    expect(done.points.filter((point) => point.includes("completeLease"))).toEqual([]);
    expect(done.repetitions).toHaveLength(2 * done.points.length);
    // Unknown is a call whose runner died between its intent and its result, and no other.
    const unknown = done.repetitions.filter((repetition) => repetition.unknown > 0);
    expect(new Set(unknown.map(({ point, victim }) => `${victim} ${point}`))).toEqual(
      new Set(
        [1, 2, 3].flatMap((call) => [`runner after beginToolCall ${call}`, `runner before finishToolCall ${call}`]),
      ),
    );
  });
});

describe("Temporal", () => {
  it("a sample of its points, killing runner, server and Temporal", { timeout: 20 * 60_000 }, async () => {
    const temporal = process.env["STIGMER_TEST_TEMPORAL"];
    expect(temporal, "STIGMER_TEST_TEMPORAL names Temporal's command line").toBeTruthy();
    const engine = ["--engine", "temporal", "--temporal", temporal ?? "", "--victims", "runner,server,engine"];
    const done = await sweep(...engine, "--points", "10");
    expect(different(done)).toEqual([]);
    expect(done.exitCode).toBe(0);
    expect(done.repetitions).toHaveLength(10);
    expect(new Set(done.repetitions.map(({ victim }) => victim))).toEqual(new Set(["runner", "server", "engine"]));
    expect(done.points).toEqual(
      expect.arrayContaining(["after StartWorkflowExecution 1", "after claimExecution 1", "before finishToolCall 3"]),
    );
  });
});

it("Ctrl-C in the middle leaves nothing behind", { timeout: 5 * 60_000 }, async () => {
  const started: Started = start(ARGS, { env: { HOME: tmpdir() } });
  await started.printed("POINT");
  process.kill(-(started.process.pid ?? Number.NaN), "SIGINT");
  expect(await started.result).toMatchObject({ exitCode: 130 });
  expect(await left()).toEqual(before);
});
