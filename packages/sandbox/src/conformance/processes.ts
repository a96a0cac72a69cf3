// What runs in the background: started, watched, fed, listed, killed, and gone with the sandbox.
import assert from "node:assert/strict";
import type { OutputPiece, SandboxProcess } from "../sandbox.ts";
import { assertBeating, assertStill, beats, newSession, untilBeating } from "./beating-process.ts";
import { declares, eventually, rejectsWith, type ConformanceCase } from "./conformance-case.ts";

const requires = declares("backgroundProcesses");

/** Waits until the process has printed this. */
async function untilPrinted(process: SandboxProcess, text: string): Promise<void> {
  await eventually(`the process prints ${JSON.stringify(text)}`, async () =>
    (await process.output()).stdout.includes(text),
  );
}

export const processesCases: readonly ConformanceCase[] = [
  {
    name: "a spawned command runs on, is fed and tells how it ended",
    requires,
    async run({ sandbox }) {
      const before = Date.now();
      const process = await sandbox.spawn(
        "echo ready; while read -r line; do echo \"<$line>\"; done; echo 'at the end'; exit 5",
      );
      assert.ok(process.id.length > 0);
      assert.deepEqual([process.origin, process.running], ["spawn", true]);
      assert.ok(Math.abs(process.startedAt.getTime() - before) < 60_000);
      assert.match(process.command, /^echo ready/);
      await untilPrinted(process, "ready\n");
      await process.write("eins\n");
      await process.write(Buffer.from("zwö\n"));
      await untilPrinted(process, "<zwö>\n");
      assert.equal((await sandbox.execute("echo meanwhile")).stdout, "meanwhile\n");
      await process.closeStdin();
      const result = await process.wait();
      assert.deepEqual([result.exitCode, result.reason], [5, undefined]);
      assert.equal(result.stdout, "ready\n<eins>\n<zwö>\nat the end\n");
      assert.equal(process.running, false);
      assert.deepEqual(await process.wait(), result, "Waiting again gave another result.");
      await rejectsWith("process-ended", () => process.write("late"));
      await process.closeStdin();
      await process.kill();
    },
  },
  {
    name: "runs a spawned command where and with what it is told",
    requires,
    async run({ sandbox }) {
      await sandbox.files.write("sub/file", "");
      const process = await sandbox.spawn('pwd; printf %s "$GREETING"', { cwd: "sub", env: { GREETING: "grüß" } });
      assert.equal((await process.wait()).stdout, `${sandbox.root}/sub\ngrüß`);
      await rejectsWith("not-found", () => sandbox.spawn("pwd", { cwd: "missing" }));
      await rejectsWith("invalid-argument", () => sandbox.spawn("echo a\0b"));
      await rejectsWith("invalid-argument", () => sandbox.spawn("true", { timeoutMs: 0 }));
      const missing = await (await sandbox.spawn("no-such-command-anywhere")).wait();
      assert.deepEqual([missing.exitCode, missing.reason], [127, "not-found"]);
    },
  },
  {
    name: "lists background processes, and finds them by their id",
    requires,
    async run({ sandbox }) {
      assert.deepEqual(await sandbox.processes(), []);
      const first = await sandbox.spawn("sleep 60");
      const second = await sandbox.spawn("exit 3");
      await second.wait();
      const listed = await sandbox.processes();
      assert.deepEqual(
        listed.map(({ id, command, running }) => [id, command, running]),
        [
          [first.id, "sleep 60", true],
          [second.id, "exit 3", false],
        ],
      );
      assert.equal((await sandbox.process(first.id))?.command, "sleep 60");
      assert.equal(await sandbox.process("none-of-this-id"), undefined);
    },
  },
  {
    name: "kills a background process with all it started",
    requires,
    async run({ sandbox }) {
      const process = await sandbox.spawn(`${newSession}\nnew_session sh -c 'trap "" TERM; ${beats("beat")}' & wait`);
      await eventually("the process beats", () => sandbox.files.exists("beat"));
      await (await sandbox.process(process.id))?.kill();
      await assertStill(sandbox, "beat");
      const { exitCode, reason } = await process.wait();
      assert.deepEqual([exitCode, reason], [137, "killed"]);
    },
  },
  {
    name: "sends a background process other signals",
    requires,
    async run({ sandbox }) {
      const process = await sandbox.spawn(
        "trap 'echo bye; exit 7' TERM; trap 'echo hello' USR1; echo ready; while :; do sleep 0.05; done",
      );
      await untilPrinted(process, "ready\n");
      await process.kill("SIGUSR1");
      await untilPrinted(process, "hello\n");
      await process.kill("SIGTERM");
      const { exitCode, stdout } = await process.wait();
      assert.deepEqual([exitCode, stdout], [7, "ready\nhello\nbye\n"]);
    },
  },
  {
    name: "waiting can be given up, and the process goes on",
    requires,
    async run({ sandbox }) {
      const process = await sandbox.spawn("until [ -e go ]; do sleep 0.02; done; echo gone");
      assert.equal(await process.wait({ timeoutMs: 100 }), undefined);
      assert.equal(await process.wait({ signal: AbortSignal.abort() }), undefined);
      const abort = new AbortController();
      const waiting = process.wait({ signal: abort.signal });
      abort.abort();
      assert.equal(await waiting, undefined);
      assert.equal(process.running, true);
      await sandbox.files.write("go", "");
      assert.equal((await process.wait({ timeoutMs: 30_000 }))?.stdout, "gone\n");
    },
  },
  {
    name: "ends a background process at its time-out, if it has one",
    requires,
    async run({ sandbox }) {
      const process = await sandbox.spawn(`echo begun; ${beats("beat")}`, { timeoutMs: 1000 });
      const { exitCode, reason, stdout } = await process.wait();
      assert.deepEqual([exitCode, reason, stdout], [124, "timeout", "begun\n"]);
      await assertStill(sandbox, "beat");
    },
  },
  {
    name: "keeps the end of what a background process prints",
    requires,
    async run({ sandbox }) {
      const process = await sandbox.spawn("seq 1 20000; echo last", { maxOutputBytes: 200 });
      const { stdout, truncated } = await process.wait();
      assert.equal(truncated, true);
      assert.match(stdout, /\n19999\n20000\nlast\n$/);
      assert.ok(stdout.length < 300, `${stdout.length} characters were kept.`);
      assert.deepEqual((await process.output()).stdout, stdout);
    },
  },
  {
    name: "tells what a background process prints, to all who listen",
    requires,
    async run({ sandbox }) {
      const heard: string[] = [];
      const process = await sandbox.spawn(
        "read -r go; printf 'a\\303'; sleep 0.2; printf '\\244'; printf err >&2; read -r go; echo b",
        { onStdout: (text) => heard.push(text) },
      );
      const collect = async (followed: AsyncIterable<OutputPiece>): Promise<string> => {
        let text = "";
        for await (const piece of followed) {
          assert.equal(piece.skipped, 0);
          assert.ok(!piece.text.includes("\uFFFD"), JSON.stringify(piece));
          if (piece.stream === "stdout") text += piece.text;
        }
        return text;
      };
      const first = collect(process.follow());
      await process.write("\n");
      await untilPrinted(process, "aä");
      const second = collect(process.follow());
      await process.write("\n");
      await process.wait();
      assert.deepEqual([(await first).replace("err", ""), await second], ["aäb\n", "b\n"]);
      assert.equal(heard.join("").replace("err", ""), "aäb\n");
      assert.equal(await collect(process.follow()), "", "Who follows after the end hears nothing.");
    },
  },
  {
    name: "ends a background process whose listener throws",
    requires,
    async run({ sandbox }) {
      const onStdout = (): void => {
        throw new RangeError("from the listener");
      };
      const process = await sandbox.spawn("echo 1; sleep 1; touch survived", { onStdout });
      await assert.rejects(process.wait(), { name: "RangeError", message: "from the listener" });
      await sandbox.execute("sleep 1.2");
      assert.equal(await sandbox.files.exists("survived"), false);
    },
  },
  {
    name: "lists what a command left running, which can be read and killed",
    requires,
    async run({ sandbox }) {
      const loop = "while :; do echo noise; echo . >> beat; sleep 0.05; done";
      await sandbox.execute(`sh -c '${loop}' & ${untilBeating("beat")}`);
      await assertBeating(sandbox, "beat");
      const [left, ...others] = await sandbox.processes();
      assert.ok(left !== undefined && others.length === 0);
      assert.deepEqual([left.origin, left.running], ["execute", true]);
      assert.match(left.command, /noise/);
      await untilPrinted(left, "noise\n");
      await rejectsWith("process-ended", () => left.write("x"));
      assert.equal(await left.wait({ timeoutMs: 100 }), undefined);
      await left.kill();
      await assertStill(sandbox, "beat");
      assert.equal(left.running, false);
      assert.equal((await left.wait({ timeoutMs: 10_000 }))?.exitCode, 0);
    },
  },
  {
    name: "can be stopped by the number that a command was told",
    requires,
    async run({ sandbox }) {
      // What agents do: start a server in one call, and end it in a later one.
      const { stdout } = await sandbox.execute(`sh -c '${beats("beat")}' >/dev/null 2>&1 & echo $!`);
      await assertBeatingSoon(sandbox, "beat");
      assert.equal((await sandbox.execute(`kill ${stdout.trim()}`)).exitCode, 0);
      await eventually("it is gone", async () => (await sandbox.processes()).every(({ running }) => !running));
      await assertStill(sandbox, "beat");
    },
  },
  {
    name: "background processes die with the sandbox",
    requires,
    async run({ sandbox, reopen }) {
      const process = await sandbox.spawn(`${newSession}\nnew_session sh -c '${beats("beat")}' & wait`);
      await assertBeatingSoon(sandbox, "beat");
      await sandbox.dispose();
      const { reason } = await process.wait();
      assert.equal(reason, "sandbox-gone");
      await rejectsWith("sandbox-gone", () => sandbox.spawn("true"));
      await rejectsWith("sandbox-gone", () => sandbox.processes());
      await assertStill(await reopen(), "beat");
    },
  },
  {
    name: "runs many in the background at once",
    requires,
    async run({ sandbox }) {
      const processes = await Promise.all(
        Array.from({ length: 10 }, (_, at) => sandbox.spawn(`read -r line; echo "$line"; exit ${at}`)),
      );
      await Promise.all(processes.map((process, at) => process.write(`line ${at}\n`)));
      const results = await Promise.all(processes.map((process) => process.wait()));
      assert.deepEqual(
        results.map(({ exitCode, stdout }) => [exitCode, stdout]),
        processes.map((_, at) => [at, `line ${at}\n`]),
      );
      assert.equal(new Set(processes.map(({ id }) => id)).size, 10);
    },
  },
];

async function assertBeatingSoon(sandbox: Parameters<typeof assertBeating>[0], file: string): Promise<void> {
  await eventually("the process beats", () => sandbox.files.exists(file));
  await assertBeating(sandbox, file);
}
