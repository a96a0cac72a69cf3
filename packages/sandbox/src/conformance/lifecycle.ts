// A sandbox from its beginning to its end.
import assert from "node:assert/strict";
import { rejectsWith, type ConformanceCase } from "./conformance-case.ts";

export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: "says what it is",
    async run({ sandbox, declared }) {
      assert.deepEqual(sandbox.capabilities, declared);
      assert.ok(sandbox.id.length > 0 && sandbox.root.startsWith("/"));
      assert.deepEqual(await sandbox.files.list(), []);
    },
  },
  {
    name: "comes back by its id, with its files",
    async run({ sandbox, reopen }) {
      await sandbox.files.write("kept/file", "still here");
      await sandbox.dispose();
      const again = await reopen();
      assert.equal(again.id, sandbox.id);
      assert.equal(again.root, sandbox.root);
      assert.equal(await again.files.readText("kept/file"), "still here");
    },
  },
  {
    name: "can be disposed twice, and does nothing afterwards",
    async run({ sandbox }) {
      await Promise.all([sandbox.dispose(), sandbox.dispose()]);
      await sandbox.dispose();
      await rejectsWith("sandbox-gone", () => sandbox.execute("true"));
      await rejectsWith("sandbox-gone", () => sandbox.files.read("x"));
      await rejectsWith("sandbox-gone", () => sandbox.files.write("x", ""));
    },
  },
  {
    name: "runs 20 commands at once, each with an environment of its own",
    async run({ sandbox }) {
      const numbers = Array.from({ length: 20 }, (_, at) => at);
      const results = await Promise.all(
        numbers.map((at) =>
          sandbox.execute(`sleep 0.1; echo $N; echo ${at} >> all; exit ${at}`, { env: { N: String(at) } }),
        ),
      );
      assert.deepEqual(
        results.map(({ exitCode, stdout }) => [exitCode, stdout]),
        numbers.map((at) => [at, `${at}\n`]),
      );
      assert.equal((await sandbox.files.readText("all")).trim().split("\n").length, 20);
    },
  },
];
