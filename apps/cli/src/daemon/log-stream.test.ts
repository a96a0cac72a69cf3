import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

/** Writes two lines with `file` as standard output, then says on standard error that it got so far. */
function writeTo(file: string): string {
  const stdout = openSync(file, "a");
  const script = `
    import { createLogStream } from ${JSON.stringify(join(import.meta.dirname, "log-stream.ts"))};
    const log = createLogStream(1);
    log.write("one\\n");
    log.write("two\\n", () => console.error("done"));`;
  const args = ["--input-type=module-typescript", "--eval", script];
  const { stderr } = spawnSync(process.execPath, args, { stdio: ["ignore", stdout, "pipe"], encoding: "utf8" });
  closeSync(stdout);
  return stderr;
}

test("lines arrive", () => {
  const directory = mkdtempSync(join(tmpdir(), "stigmer-log-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  expect(writeTo(join(directory, "log"))).toBe("done\n");
  expect(readFileSync(join(directory, "log"), "utf8")).toBe("one\ntwo\n");
});

test.runIf(process.platform === "linux")("a full disk ends nobody", () => {
  expect(writeTo("/dev/full")).toBe("done\n");
});
