import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { nodeArguments, withoutCore, withoutDumpOptions } from "./no-dumps.ts";

test.each([
  ["--max-old-space-size=4096", "--max-old-space-size=4096"],
  ["--heapsnapshot-signal=SIGUSR2 --enable-source-maps", "--enable-source-maps"],
  ["--heapsnapshot-near-heap-limit 3 --enable-source-maps", "--enable-source-maps"],
  ["--report_on_fatalerror --report-dir /tmp  --import ./hook.mjs", "--import ./hook.mjs"],
  ['--report-directory="/a \\"b c" --require "./my hook.js"', '--require "./my hook.js"'],
  ["--no-report-on-signal --trace-warnings", "--trace-warnings"],
  ["--report-on-signal", undefined],
  [" ", undefined],
])("of the options %s are left %s", (given, left) => {
  expect(withoutDumpOptions({ PATH: "/bin", NODE_OPTIONS: given })).toEqual({
    PATH: "/bin",
    ...(left !== undefined && { NODE_OPTIONS: left }),
  });
});

test("the daemon's programs are started without dumps, and without a debugger that a signal opens", () => {
  expect(nodeArguments(["--conditions=x", "--report-on-signal", "--heapsnapshot-signal", "SIGUSR2"])).toEqual([
    "--conditions=x",
    "--disable-sigusr1",
  ]);
  expect(nodeArguments(nodeArguments(["--conditions=x"]))).toEqual(["--conditions=x", "--disable-sigusr1"]);
});

test.skipIf(process.platform === "win32")("a program is started with its arguments, and no core file to come", () => {
  const [command, args] = withoutCore("/bin/sh", ["-c", 'echo "$(ulimit -S -c) $1"', "sh", "two words"]);
  expect(execFileSync(command, args, { encoding: "utf8" })).toBe("0 two words\n");
  expect(withoutCore("node", ["a"], "win32")).toEqual(["node", ["a"]]);
});
