import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { processesOf, start, treeOf, until, type Started } from "./stigmer.ts";

// The first thing that a person runs. It owns everything it starts, so whatever happens to it, nothing stays but the copy
// of the project that the agent worked on.

interface Place extends AsyncDisposable {
  readonly folder: string;
  startDemo(): Started;
  /** What is in it now, by what the demo calls it. */
  leftFolders(): Promise<string[]>;
}

/** A folder for temporary files that is the demo's alone. */
async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-demo-e2e-"));
  return {
    folder,
    startDemo: () =>
      start(["demo"], { env: { TMPDIR: folder, STIGMER_HOME: join(folder, "users-home"), HOME: folder } }),
    leftFolders: async () => (await readdir(folder)).map((name) => name.replace(/-\w{6}$/, "")).toSorted(),
    async [Symbol.asyncDispose]() {
      // A test that failed must not leave its processes to the next one.
      for (const line of await processesOf(folder)) process.kill(Number.parseInt(line, 10), "SIGKILL");
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

it.concurrent("works twice in a row, says what it did, and leaves only the project", { timeout: 120_000 }, async () => {
  await using place = await makePlace();
  const { folder } = place;
  for (const time of [1, 2]) {
    const { exitCode, stdout, stderr } = await place.startDemo().result;
    expect(exitCode, stdout + stderr).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toContain("replays a scripted model");
    expect(stdout).toMatch(/^completed in \d+\.\d s · [\d,]+ tokens \([\d,]+ in, [\d,]+ out\) · \d+ model calls$/m);
    const report = /^Report: (\/.+)$/m.exec(stdout)?.[1] ?? "";
    expect(report.startsWith(folder), report).toBe(true);
    expect(await readFile(report, "utf8")).toMatch(/^# Fix: .+/);
    expect((await stat(report)).size).toBeGreaterThan(200);
    expect(stdout).toMatch(/^Changes: src\/discount\.js$/m);
    expect(stdout).toMatch(/^-.* > tier\.from .*\n\+.* >= tier\.from /m);
    expect(await processesOf(place.folder)).toEqual([]);
    expect(await place.leftFolders()).toEqual(Array.from({ length: time }, () => "stigmer-demo"));
  }
});

const atOnce = async (): Promise<void> => {};
const childOf =
  (name: string) =>
  (demo: Started): Promise<void> =>
    until(async () => {
      if (demo.process.exitCode !== null) throw new Error(`it ended without ${name}:\n${demo.output()}`);
      return (await treeOf(demo.process.pid ?? 0)).some(({ command }) => command.includes(name));
    }, 60);

it.concurrent.each<[string, (demo: Started) => Promise<void>, { keepsProject: boolean }]>([
  ["right after the start", atOnce, { keepsProject: false }],
  ["while the server starts", childOf("server run"), { keepsProject: false }],
  ["while the runner starts", childOf("agent-runner"), { keepsProject: false }],
  ["while the agent's command runs", childOf("--test-reporter=tap"), { keepsProject: true }],
])("Ctrl-C %s ends it in order, with nothing left", { timeout: 90_000 }, async (_, moment, { keepsProject }) => {
  await using place = await makePlace();
  const demo = place.startDemo();
  await moment(demo);
  process.kill(-(demo.process.pid ?? 0), "SIGINT");
  const pressed = performance.now();
  const { exitCode, stderr } = await demo.result;
  expect(performance.now() - pressed).toBeLessThan(15_000);
  expect(exitCode, stderr).toBe(130);
  expect(stderr).toMatch(/^(\nStopping…\n)?$/);
  expect(await processesOf(place.folder)).toEqual([]);
  expect(await place.leftFolders()).toEqual(keepsProject ? ["stigmer-demo"] : []);
});

it.concurrent("survives kill -9 of its runner in the middle of the run", { timeout: 120_000 }, async () => {
  await using place = await makePlace();
  const demo = place.startDemo();
  await childOf("--test-reporter=tap")(demo);
  const runner = (await treeOf(demo.process.pid ?? 0)).find(({ command }) => command.includes("agent-runner"));
  process.kill(runner?.pid ?? Number.NaN, "SIGKILL");
  const { exitCode, stdout, stderr } = await demo.result;
  expect(exitCode, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/^completed in /m);
  expect(existsSync(/^Report: (\/.+)$/m.exec(stdout)?.[1] ?? "")).toBe(true);
  expect(await processesOf(place.folder)).toEqual([]);
  expect(await place.leftFolders()).toEqual(["stigmer-demo"]);
});
