// What a command can do wrong, or do to harm. Each returns in time, tells the truth and leaves nothing.
import assert from "node:assert/strict";
import type { SandboxCapabilities } from "../sandbox.ts";
import { assertStill, beats, newSession, untilBeating } from "./beating-process.ts";
import { declares, keepsLimit, keepsNetwork, promptMs, rejectsWith, type ConformanceCase } from "./conformance-case.ts";

/** What a gigabyte of output may cost this process at most. */
const mostMemoryBytes = 300 * 1024 * 1024;

/** Node counts buffers that wait to be collected: hence far more than what is kept, and far less than what is printed. */
async function inBoundedMemory(use: () => Promise<void>): Promise<void> {
  const used = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, used())), 20);
  try {
    await use();
  } finally {
    clearInterval(timer);
  }
  assert.ok(most - before < mostMemoryBytes, `It took ${Math.round((most - before) / 1024 / 1024)} MB.`);
}

export const hostileCases: readonly ConformanceCase[] = [
  {
    name: "a gigabyte of output takes bounded memory",
    timeoutMs: 300_000,
    async run({ sandbox }) {
      await inBoundedMemory(async () => {
        const command = "echo first; head -c 1000000000 /dev/zero; echo; echo last";
        const result = await sandbox.execute(command, { maxOutputBytes: 1000, timeoutMs: 300_000 });
        assert.deepEqual([result.exitCode, result.truncated], [0, true]);
        assert.match(result.stdout, /^first\n\0+\n\[\.\.\. \d+ bytes left out \.\.\.\]\n\0*\nlast\n$/);
      });
    },
  },
  {
    name: "endless output without a newline ends at the time-out",
    async run({ sandbox, slackMs }) {
      const started = performance.now();
      const result = await sandbox.execute("tr '\\0' x </dev/zero", { timeoutMs: 500, maxOutputBytes: 100 });
      const elapsed = performance.now() - started;
      assert.deepEqual([result.exitCode, result.truncated], [124, true]);
      assert.match(result.stdout, /^x{50}\n.*\nx{50}$/);
      assert.ok(elapsed <= 500 + promptMs + slackMs, `It took ${elapsed} ms.`);
    },
  },
  {
    name: "a million small writes arrive all",
    timeoutMs: 300_000,
    async run({ sandbox }) {
      let told = 0;
      const result = await sandbox.execute("dd if=/dev/zero bs=1 count=1000000 2>/dev/null", {
        maxOutputBytes: 2_000_000,
        timeoutMs: 300_000,
        onStdout: (text) => (told += text.length),
      });
      assert.deepEqual([result.exitCode, result.stdout.length, told], [0, 1_000_000, 1_000_000]);
    },
  },
  {
    name: "binary output is told as far as it is text",
    async run({ sandbox }) {
      const everyByte = Uint8Array.from({ length: 256 }, (_, value) => value);
      await sandbox.files.write("bytes", everyByte);
      const { stdout } = await sandbox.execute("cat bytes");
      assert.equal(stdout, new TextDecoder().decode(everyByte));
    },
  },
  {
    name: "characters come whole, wherever they are cut",
    async run({ sandbox }) {
      const text = "aä€😀z";
      const bytes = [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`);
      const pieces: string[] = [];
      const command = bytes.map((byte) => `printf '${byte}'; sleep 0.02`).join("; ");
      const { stdout } = await sandbox.execute(command, { onStdout: (piece) => pieces.push(piece) });
      assert.deepEqual([stdout, pieces.join("")], [text, text]);
      assert.ok(!pieces.some((piece) => piece.includes("\uFFFD")), JSON.stringify(pieces));
    },
  },
  {
    name: "closed pipes are not the end of a command",
    async run({ sandbox }) {
      const closed = await sandbox.execute("exec 0<&- 1>&- 2>&-; sleep 0.5; : > late; exit 5");
      assert.deepEqual([closed.exitCode, closed.reason], [5, undefined]);
      assert.equal(await sandbox.files.exists("late"), true);
      assert.equal((await sandbox.execute("exec 0<&-; cat 2>/dev/null || echo none")).stdout, "none\n");
    },
  },
  {
    name: "a command that ignores all it can ignore ends at the time-out",
    async run({ sandbox, slackMs }) {
      const started = performance.now();
      const command = `trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2 PIPE; ${newSession}\nnew_session sh -c '${beats("beat")}' & ${beats("shell")}`;
      const result = await sandbox.execute(command, { timeoutMs: 1500 });
      const elapsed = performance.now() - started;
      assert.deepEqual([result.exitCode, result.reason], [124, "timeout"]);
      assert.ok(elapsed <= 1500 + promptMs + slackMs, `It took ${elapsed} ms.`);
      for (const file of ["beat", "shell"]) await assertStill(sandbox, file);
    },
  },
  {
    name: "a daemon that forks twice, clears everything and closes its files is gone after a time-out",
    requires: declares("tracksEscapes"),
    async run({ sandbox, slackMs }) {
      const daemon = `${newSession}\n(new_session env -i PATH="$PATH" sh -c '(cd /; exec 0<&- 1>&- 2>&-; while :; do echo . >> "$0"; sleep 0.05; done) &' ${sandbox.root}/beat &)`;
      const started = performance.now();
      const command = `${daemon}; ${untilBeating("beat")}; echo ready; sleep 60`;
      const { exitCode, stdout } = await sandbox.execute(command, { timeoutMs: 2000 });
      const elapsed = performance.now() - started;
      assert.deepEqual([exitCode, stdout], [124, "ready\n"]);
      assert.ok(elapsed <= 2000 + promptMs + slackMs, `It took ${elapsed} ms.`);
      await assertStill(sandbox, "beat");
    },
  },
  {
    name: "a fork bomb ends at the time-out, and spares the sandbox",
    requires: keepsLimit("processes"),
    async run({ create, slackMs }) {
      const sandbox = await create({ limits: { processes: 64 } });
      const started = performance.now();
      const bomb = "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done";
      const result = await sandbox.execute(bomb, { timeoutMs: 2000, maxOutputBytes: 1000 });
      const elapsed = performance.now() - started;
      assert.notEqual(result.exitCode, 0);
      assert.ok(elapsed <= 2000 + promptMs + slackMs, `It took ${elapsed} ms.`);
      const after = await sandbox.execute("echo fine | cat", { timeoutMs: 10_000 });
      assert.deepEqual([after.exitCode, after.stdout], [0, "fine\n"], after.stderr);
    },
  },
  {
    name: "a command that takes ever more memory fails, and spares the sandbox",
    requires: keepsLimit("memoryBytes"),
    async run({ create }) {
      const sandbox = await create({ limits: { memoryBytes: 128 * 1024 * 1024 } });
      // One line without an end, which `tail` has to keep.
      const result = await sandbox.execute("tail -n 1 /dev/zero", { timeoutMs: 60_000 });
      assert.ok(result.exitCode !== 0 && result.reason !== "timeout", JSON.stringify(result));
      assert.equal((await sandbox.execute("echo fine")).stdout, "fine\n");
    },
  },
  {
    name: "a command that takes ever more processor time is killed",
    requires: keepsLimit("cpuSeconds"),
    async run({ create }) {
      const sandbox = await create({ limits: { cpuSeconds: 1 } });
      const result = await sandbox.execute("while :; do :; done", { timeoutMs: 60_000 });
      assert.equal(result.reason, "killed");
      assert.ok(result.exitCode > 128, `It ended with ${result.exitCode}.`);
      assert.equal((await sandbox.execute("sleep 1.2; echo fine")).stdout, "fine\n", "Sleeping took processor time.");
    },
  },
  {
    name: "a full disk is told as such, and spoils no file",
    needsFullDisk: true,
    async run({ createOnSmallDisk }) {
      const sandbox = await createOnSmallDisk();
      const { files } = sandbox;
      await files.write("kept", "old");
      const large = new Uint8Array(64 * 1024 * 1024);
      await rejectsWith("no-space", () => files.write("new", large));
      await rejectsWith("no-space", () => files.write("kept", large));
      assert.equal(await files.readText("kept"), "old");
      assert.deepEqual(
        (await files.list()).map(({ path }) => path),
        ["kept"],
      );
      assert.notEqual((await sandbox.execute("head -c 67108864 /dev/zero > filler")).exitCode, 0);
      await files.remove("filler");
      await files.edit("kept", "old", "new");
      assert.equal((await sandbox.execute("cat kept")).stdout, "new");
    },
  },
  {
    name: "a path of 4 KiB is taken, or refused as too long",
    async run({ sandbox }) {
      const { files } = sandbox;
      const path = (parts: number): string => `${Array.from({ length: parts }, () => "p".repeat(249)).join("/")}/f`;
      await files.write(path(14), "deep");
      assert.equal(await files.readText(path(14)), "deep");
      const { stdout } = await sandbox.execute('cat "$FILE"', { env: { FILE: path(14) } });
      assert.equal(stdout, "deep");
      for (const parts of [17, 40]) {
        try {
          await files.write(path(parts), "deeper");
          assert.equal(await files.readText(path(parts)), "deeper");
        } catch (error) {
          assert.ok(!(error instanceof assert.AssertionError), String(error));
          await rejectsWith("invalid-argument", () => Promise.reject(error as Error));
        }
      }
      await files.remove("p".repeat(249));
      assert.deepEqual(await files.list(), []);
    },
  },
  {
    name: "newlines, quotes and emoji in names mean nothing",
    async run({ sandbox }) {
      const { files } = sandbox;
      const names = ["a\nb", "$(touch pwned)", "`touch pwned`", "'; touch pwned; '", "😀 ü", "-rf", "*", " ", "\\"];
      for (const name of names) {
        await files.write(`dir/${name}/${name}`, name);
        assert.equal(
          (await sandbox.execute('cat -- "$N"', { cwd: `dir/${name}`, env: { N: `./${name}` } })).stdout,
          name,
        );
      }
      assert.equal((await files.glob("**")).length, names.length);
      assert.equal((await files.list("dir")).length, names.length);
      assert.deepEqual(
        (await files.list()).map(({ path }) => path),
        ["dir"],
      );
    },
  },
  {
    name: "a clock that jumps changes no time-out and no duration",
    async run({ sandbox }) {
      const real = Date.now;
      try {
        for (const jumpMs of [3_600_000, -3_600_000]) {
          const running = sandbox.execute("sleep 0.5; echo done", { timeoutMs: 30_000 });
          const limited = sandbox.execute("sleep 60", { timeoutMs: 700 });
          Date.now = () => real() + jumpMs;
          const result = await running;
          assert.deepEqual([result.exitCode, result.stdout], [0, "done\n"]);
          assert.ok(result.durationMs >= 400 && result.durationMs < 30_000, `It took ${result.durationMs} ms.`);
          const ended = await limited;
          assert.equal(ended.reason, "timeout");
          assert.ok(ended.durationMs >= 600 && ended.durationMs < 30_000, `It took ${ended.durationMs} ms.`);
          Date.now = real;
        }
      } finally {
        Date.now = real;
      }
    },
  },
  {
    name: "50 commands at once get along, and an abort of half of them",
    async run({ sandbox }) {
      const abort = new AbortController();
      const numbers = Array.from({ length: 50 }, (_, at) => at);
      const running = numbers.map((at) =>
        at % 2 === 0
          ? sandbox.execute(`until [ -e go ]; do sleep 0.05; done; echo ${at}; exit ${at}`)
          : sandbox.execute("sleep 60", { signal: abort.signal }),
      );
      abort.abort();
      await Promise.all(running.filter((_, at) => at % 2 === 1));
      await sandbox.files.write("go", "");
      const results = await Promise.all(running);
      assert.deepEqual(
        results.map(({ exitCode, stdout, reason }) => [exitCode, stdout, reason]),
        numbers.map((at) => (at % 2 === 0 ? [at, `${at}\n`, undefined] : [137, "", "aborted"])),
      );
    },
  },
  {
    name: "ends 10 commands that fork when it is disposed",
    async run({ sandbox, reopen, slackMs }) {
      const commands = Array.from({ length: 10 }, () =>
        sandbox.execute(`while :; do (sleep 0.2; echo . >> beat) & sleep 0.02; done`),
      );
      while (!(await sandbox.files.exists("beat"))) await new Promise((resolve) => setTimeout(resolve, 20));
      const started = performance.now();
      await sandbox.dispose();
      const elapsed = performance.now() - started;
      assert.deepEqual(new Set((await Promise.all(commands)).map(({ reason }) => reason)), new Set(["sandbox-gone"]));
      assert.ok(elapsed <= 2000 + slackMs, `It took ${elapsed} ms.`);
      await assertStill(await reopen(), "beat");
    },
  },
  {
    name: "there is no way out when the network is off",
    requires: keepsNetwork("off"),
    async run({ create }) {
      const sandbox = await create({ network: { type: "off" } });
      const routes = "for f in route ipv6_route; do [ -e /proc/net/$f ] && cat /proc/net/$f; done; true";
      const { stdout } = await sandbox.execute(routes);
      // The loopback device leads nowhere; the first line of the first file is its heading.
      const out = stdout.split("\n").filter((line) => line !== "" && !/^Iface|\blo$/.test(line.trim()));
      assert.deepEqual(out, []);
    },
  },
  {
    name: "a policy or limit that can't be kept is refused by name",
    async run({ create, declared }) {
      const limits = ["cpuSeconds", "memoryBytes", "processes", "diskBytes"] as const;
      for (const limit of limits.filter((name) => !declared.limits.includes(name))) {
        await assertRefused(() => create({ limits: { [limit]: 1_000_000 } }), limit);
      }
      const policies = [{ type: "off" }, { type: "full" }, { type: "allow-list", domains: [] }] as const;
      for (const network of policies.filter(({ type }) => !keeps(declared, type))) {
        await assertRefused(() => create({ network }), network.type);
      }
      for (const limit of declared.limits) {
        for (const value of [0, -1, 0.5, Number.NaN]) {
          await rejectsWith("invalid-argument", () => create({ limits: { [limit]: value } }));
        }
      }
      if (keeps(declared, "allow-list")) {
        const domains = ["exa mple.com"];
        await rejectsWith("invalid-argument", () => create({ network: { type: "allow-list", domains } }));
      }
    },
  },
];

const keeps = ({ network }: SandboxCapabilities, type: SandboxCapabilities["network"][number]): boolean =>
  network.includes(type);

async function assertRefused(operation: () => Promise<unknown>, name: string): Promise<void> {
  await rejectsWith("unsupported", operation);
  await operation().catch((error: Error) => assert.ok(error.message.includes(name), error.message));
}
