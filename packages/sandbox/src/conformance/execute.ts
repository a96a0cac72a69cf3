// What `execute` returns for what a command does.
import assert from "node:assert/strict";
import { rejectsWith, type ConformanceCase } from "./conformance-case.ts";

export const executeCases: readonly ConformanceCase[] = [
  {
    name: "returns output and exit code",
    async run({ sandbox }) {
      const result = await sandbox.execute("echo hello; exit 3");
      assert.equal(result.exitCode, 3);
      assert.equal(result.stdout, "hello\n");
      assert.equal(result.truncated, false);
      assert.equal(result.reason, undefined);
      assert.ok(result.durationMs >= 0);
    },
  },
  {
    name: "keeps stderr apart where it says so",
    async run({ sandbox, declared }) {
      const { stdout, stderr } = await sandbox.execute("echo out; echo err >&2");
      if (declared.separateStderr) assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
      else assert.deepEqual([stdout.split("\n").sort(), stderr], [["", "err", "out"], ""]);
    },
  },
  {
    name: "runs a shell in the root",
    async run({ sandbox }) {
      const { stdout } = await sandbox.execute('a="x  y"; for i in 1 2; do\n  echo "$a" | tr x $i\ndone; pwd');
      assert.equal(stdout, `1  y\n2  y\n${sandbox.root}\n`);
    },
  },
  {
    name: "gives the environment asked for, and PYTHONUNBUFFERED",
    async run({ sandbox }) {
      const env = { GREETING: "grüß\n'dich'", EMPTY: "" };
      const { stdout } = await sandbox.execute('printf %s "$GREETING|$EMPTY|$PYTHONUNBUFFERED"', { env });
      assert.equal(stdout, "grüß\n'dich'||1");
      assert.equal((await sandbox.execute("printf %s $GREETING")).stdout, "", "The environment of one command stayed.");
    },
  },
  {
    name: "feeds stdin and closes it",
    async run({ sandbox }) {
      assert.equal((await sandbox.execute("cat", { stdin: "tëxt" })).stdout, "tëxt");
      const bytes = new Uint8Array([0, 1, 255]);
      assert.equal((await sandbox.execute("od -An -tu1 | tr -d ' \\n'", { stdin: bytes })).stdout, "01255");
      assert.equal((await sandbox.execute("cat; echo end", { timeoutMs: 5000 })).stdout, "end\n");
    },
  },
  {
    name: "does not mind stdin that is not read",
    async run({ sandbox }) {
      const result = await sandbox.execute("echo done", { stdin: "x".repeat(1_000_000) });
      assert.deepEqual([result.exitCode, result.stdout], [0, "done\n"]);
    },
  },
  {
    name: "runs where cwd says",
    async run({ sandbox }) {
      await sandbox.files.write("a/b/file", "");
      for (const cwd of ["a/b", "/a/b", `${sandbox.root}/a/b`, "a/../a/b/"]) {
        assert.equal((await sandbox.execute("pwd", { cwd })).stdout, `${sandbox.root}/a/b\n`, cwd);
      }
    },
  },
  {
    name: "refuses a cwd that is missing, a file, or outside",
    async run({ sandbox }) {
      await sandbox.files.write("file", "");
      await rejectsWith("not-found", () => sandbox.execute("pwd", { cwd: "missing" }));
      await rejectsWith("not-directory", () => sandbox.execute("pwd", { cwd: "file" }));
      await rejectsWith("outside-root", () => sandbox.execute("pwd", { cwd: ".." }));
    },
  },
  {
    name: "tells a command that is not found, and one that may not be run",
    async run({ sandbox }) {
      const missing = await sandbox.execute("no-such-command-anywhere");
      assert.deepEqual([missing.exitCode, missing.reason], [127, "not-found"]);
      await sandbox.files.write("script", "#!/bin/sh\n", { mode: 0o644 });
      const forbidden = await sandbox.execute("./script");
      assert.deepEqual([forbidden.exitCode, forbidden.reason], [126, "permission"]);
    },
  },
  {
    name: "tells a signal as 128 + its number",
    async run({ sandbox }) {
      const killed = await sandbox.execute("echo before; kill -9 $$");
      assert.deepEqual([killed.exitCode, killed.stdout], [137, "before\n"]);
      assert.equal((await sandbox.execute("kill -TERM $$")).exitCode, 143);
    },
  },
  {
    name: "never cuts a character in two",
    async run({ sandbox }) {
      const pieces: string[] = [];
      const command = "printf 'a\\303'; sleep 0.2; printf '\\244\\360\\237'; sleep 0.2; printf '\\230\\200b'";
      const { stdout } = await sandbox.execute(command, { onStdout: (text) => pieces.push(text) });
      assert.equal(stdout, "aä😀b");
      assert.equal(pieces.join(""), stdout);
      assert.ok(!pieces.some((piece) => piece.includes("\uFFFD")), JSON.stringify(pieces));
    },
  },
  {
    name: "tells output as it comes",
    async run({ sandbox }) {
      const log: string[] = [];
      const result = await sandbox.execute("echo 1; until [ -e go ]; do sleep 0.02; done; echo 2", {
        timeoutMs: 10_000,
        onStdout(text) {
          log.push(text);
          // The command waits for this file: it comes only if the first line was told while the command still ran.
          if (log.length === 1) sandbox.files.write("go", "").catch((error: unknown) => log.push(String(error)));
        },
      });
      assert.deepEqual([result.exitCode, log.join("")], [0, "1\n2\n"]);
    },
  },
  {
    name: "keeps the beginning and the end of long output",
    async run({ sandbox }) {
      const told: string[] = [];
      const result = await sandbox.execute("echo first; seq 1 20000; echo last", {
        maxOutputBytes: 200,
        onStdout: (text) => told.push(text),
      });
      assert.equal(result.truncated, true);
      assert.match(result.stdout, /^first\n1\n2\n[^]*\n20000\nlast\n$/);
      assert.ok(result.stdout.length < 400, `${result.stdout.length} characters were kept.`);
      assert.match(told.join(""), /^first\n1\n2\n[^]*\n10000\n[^]*\n20000\nlast\n$/);
    },
  },
  {
    name: "keeps all of a long output below the limit",
    async run({ sandbox }) {
      const { stdout, truncated } = await sandbox.execute("head -c 3000000 /dev/zero | tr '\\0' x", {
        maxOutputBytes: 3_000_000,
      });
      assert.deepEqual([stdout.length, truncated], [3_000_000, false]);
    },
  },
  {
    name: "does not run out of memory on endless output",
    async run({ sandbox }) {
      const result = await sandbox.execute("yes", { timeoutMs: 500, maxOutputBytes: 1000 });
      assert.deepEqual([result.exitCode, result.truncated], [124, true]);
      assert.ok(result.stdout.length < 1200, `${result.stdout.length} characters were kept.`);
    },
  },
  {
    name: "takes a command longer than 128 KiB",
    async run({ sandbox }) {
      const text = "zeile ä\n".repeat(30_000);
      await sandbox.execute(`cat > long.txt <<'END'\n${text}END\n`);
      assert.equal(await sandbox.files.readText("long.txt"), text);
    },
  },
  {
    name: "refuses bad options",
    async run({ sandbox }) {
      await rejectsWith("invalid-argument", () => sandbox.execute("true", { timeoutMs: 0 }));
      await rejectsWith("invalid-argument", () => sandbox.execute("true", { timeoutMs: Number.NaN }));
      await rejectsWith("invalid-argument", () => sandbox.execute("true", { maxOutputBytes: -1 }));
      await rejectsWith("invalid-argument", () => sandbox.execute("true", { env: { "A=B": "c" } }));
      await rejectsWith("invalid-argument", () => sandbox.execute("echo a\0b"));
      // More than a Node timer holds must not fire at once.
      assert.equal((await sandbox.execute("sleep 0.1", { timeoutMs: 2 ** 40 })).exitCode, 0);
    },
  },
  {
    name: "ends the command when a callback throws, and rejects with that error",
    async run({ sandbox }) {
      const onStdout = (): void => {
        throw new RangeError("from the callback");
      };
      const running = sandbox.execute("echo 1; sleep 1; touch survived", { onStdout });
      await assert.rejects(running, { name: "RangeError", message: "from the callback" });
      await sandbox.execute("sleep 1.2");
      assert.equal(await sandbox.files.exists("survived"), false);
    },
  },
];
