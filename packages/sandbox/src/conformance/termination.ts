// What is left of a command after its time-out, its abort, or the end of the sandbox: nothing.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { ExecuteOptions, ExecuteResult, Sandbox } from "../sandbox.ts";
import { assertBeating, assertStill, beats, newSession, untilBeating } from "./beating-process.ts";
import { declares, eventually, promptMs, type ConformanceCase } from "./conformance-case.ts";

/** Whatever starts a beating process, and how it slips away. All have a parent that lives, or stay in the process group. */
const trees: Readonly<Record<string, string>> = {
  "the shell itself": `${beats("beat")}`,
  "a grandchild that holds the pipe": `sh -c '${beats("beat")}' & wait`,
  "a grandchild whose parent is dead": `(sh -c '${beats("beat")}' &) ; sleep 60`,
  "one that ignores SIGTERM": `trap '' TERM HUP INT; sh -c 'trap "" TERM HUP INT; ${beats("beat")}'`,
  "a grandchild in its own session": `${newSession}\nnew_session sh -c '${beats("beat")}' & wait`,
  "one in its own session with an empty environment": `${newSession}\nnew_session env -i PATH="$PATH" sh -c '${beats("beat")}' & wait`,
};

/** Leaves its session, its parent and its environment: only a backend that keeps track of everything finds it. */
const escaped = `${newSession}\n(new_session env -i PATH="$PATH" sh -c '${beats("beat")}' &) ; sleep 60`;

/** Ends a command once its processes run: `how` gets the means, and this waits for the result. */
async function endWhileBeating(
  sandbox: Sandbox,
  command: string,
  how: (result: Promise<ExecuteResult>) => Promise<ExecuteResult>,
  options?: ExecuteOptions,
): Promise<ExecuteResult> {
  const result = sandbox.execute(command, { timeoutMs: 60_000, ...options });
  // Its file is there a moment before the first beat is in it.
  await eventually("the process beats", async () =>
    (await sandbox.files.list()).some(({ path, size }) => path === "beat" && size > 0),
  );
  return how(result);
}

async function abortWhileBeating(sandbox: Sandbox, command: string): Promise<ExecuteResult> {
  const abort = new AbortController();
  const end = (result: Promise<ExecuteResult>): Promise<ExecuteResult> => {
    abort.abort();
    return result;
  };
  return endWhileBeating(sandbox, command, end, { signal: abort.signal });
}

const treeCases: readonly ConformanceCase[] = Object.entries(trees).map(([what, command]) => ({
  name: `leaves nothing: ${what}`,
  async run({ sandbox }) {
    const { reason } = await abortWhileBeating(sandbox, command);
    assert.equal(reason, "aborted");
    await assertStill(sandbox, "beat");
  },
}));

export const terminationCases: readonly ConformanceCase[] = [
  {
    name: "ends a command at its time-out, with code 124 and what it printed",
    async run({ sandbox, slackMs }) {
      const started = performance.now();
      const result = await sandbox.execute("echo begun; echo err >&2; sleep 30", { timeoutMs: 400 });
      const elapsed = performance.now() - started;
      assert.deepEqual([result.exitCode, result.reason], [124, "timeout"]);
      assert.match(result.stdout, /^begun\n/);
      assert.ok(elapsed >= 390, `It ended after ${elapsed} ms already.`);
      assert.ok(elapsed <= 400 + promptMs + slackMs, `It took ${elapsed} ms.`);
    },
  },
  {
    name: "keeps the time-out when a grandchild holds the pipe",
    async run({ sandbox, slackMs }) {
      const started = performance.now();
      const command = `${newSession}\nsleep 31 & new_session sleep 32 & echo begun; wait`;
      const result = await sandbox.execute(command, { timeoutMs: 400 });
      const elapsed = performance.now() - started;
      assert.deepEqual([result.exitCode, result.stdout], [124, "begun\n"]);
      assert.ok(elapsed <= 400 + promptMs + slackMs, `It took ${elapsed} ms.`);
    },
  },
  {
    name: "leaves nothing after a time-out",
    async run({ sandbox }) {
      const command = `${newSession}\nnew_session sh -c '${beats("beat")}' & ${untilBeating("beat")}; echo ready; sleep 60`;
      const { exitCode, stdout } = await sandbox.execute(command, { timeoutMs: 1500 });
      assert.deepEqual([exitCode, stdout], [124, "ready\n"]);
      await assertStill(sandbox, "beat");
    },
  },
  ...treeCases,
  {
    name: "leaves nothing: one that left session, parent and environment",
    requires: declares("tracksEscapes"),
    async run({ sandbox }) {
      await abortWhileBeating(sandbox, escaped);
      await assertStill(sandbox, "beat");
    },
  },
  {
    name: "starts nothing when aborted before",
    async run({ sandbox }) {
      const result = await sandbox.execute("touch started", { signal: AbortSignal.abort() });
      assert.equal(result.reason, "aborted");
      assert.notEqual(result.exitCode, 0);
      assert.equal(await sandbox.files.exists("started"), false);
    },
  },
  {
    name: "returns promptly when aborted, with what was printed",
    async run({ sandbox, slackMs }) {
      const abort = new AbortController();
      let abortedAt = Number.NaN;
      const result = await sandbox.execute("echo begun; sleep 30", {
        signal: abort.signal,
        onStdout() {
          abortedAt = performance.now();
          abort.abort();
        },
      });
      const elapsed = performance.now() - abortedAt;
      assert.deepEqual([result.reason, result.stdout], ["aborted", "begun\n"]);
      assert.ok(elapsed <= promptMs + slackMs, `It took ${elapsed} ms.`);
    },
  },
  {
    name: "an abort after the end changes nothing",
    async run({ sandbox }) {
      const abort = new AbortController();
      const result = await sandbox.execute("echo done", { signal: abort.signal });
      abort.abort();
      assert.deepEqual([result.exitCode, result.reason, result.stdout], [0, undefined, "done\n"]);
      assert.equal((await sandbox.execute("echo more")).stdout, "more\n");
    },
  },
  {
    name: "returns when the shell exits, though a background child holds the pipe",
    async run({ sandbox, slackMs }) {
      const started = performance.now();
      const result = await sandbox.execute("sleep 30 & echo started");
      const elapsed = performance.now() - started;
      assert.deepEqual([result.exitCode, result.stdout, result.reason], [0, "started\n", undefined]);
      assert.ok(elapsed <= 2000 + slackMs, `It took ${elapsed} ms.`);
    },
  },
  {
    name: "a background child lives on, may print, and dies with the sandbox",
    async run({ sandbox, reopen }) {
      const loop = "while :; do echo noise; echo . >> beat; sleep 0.05; done";
      await sandbox.execute(`sh -c '${loop}' & ${untilBeating("beat")}`);
      await assertBeating(sandbox, "beat");
      await sandbox.dispose();
      const again = await reopen();
      await assertStill(again, "beat");
    },
  },
  {
    name: "ends what runs when it is disposed",
    async run({ sandbox, reopen, slackMs }) {
      const result = await endWhileBeating(sandbox, trees["a grandchild in its own session"] ?? "", async (running) => {
        const started = performance.now();
        await sandbox.dispose();
        const elapsed = performance.now() - started;
        assert.ok(elapsed <= 1000 + slackMs, `It took ${elapsed} ms.`);
        return running;
      });
      assert.equal(result.reason, "sandbox-gone");
      await assertStill(await reopen(), "beat");
    },
  },
  {
    name: "a time-out of one command leaves the others alone",
    async run({ sandbox }) {
      const other = sandbox.execute("sleep 1.2; echo fine");
      await delay(50);
      assert.equal((await sandbox.execute("sleep 30", { timeoutMs: 200 })).exitCode, 124);
      assert.deepEqual([(await other).exitCode, (await other).stdout], [0, "fine\n"]);
    },
  },
];
