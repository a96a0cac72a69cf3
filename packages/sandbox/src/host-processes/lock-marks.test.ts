import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { createLockMarks, isMarked, type LockMark } from "./lock-marks.ts";

const linux = process.platform === "linux";
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function startMarked(mark: LockMark, shell = "/bin/sh"): Promise<number> {
  const child = spawn(shell, ["-c", `${mark.shellCode}echo ready; exec setsid env -i sleep 1000`]);
  children.push(child);
  await once(child.stdout, "data");
  return child.pid ?? 0;
}

describe.runIf(linux)("a mark", () => {
  test("is found on a process that cleared its environment and left its session, and on no other", async () => {
    const [marks, others] = [await createLockMarks("/bin/sh"), await createLockMarks("/bin/sh")];
    const [first, second] = [marks!.next(), marks!.next()];
    const pid = await startMarked(first);
    expect(isMarked(pid, first.range)).toBe(true);
    expect(isMarked(pid, marks!.all)).toBe(true);
    expect(isMarked(pid, second.range)).toBe(false);
    expect(isMarked(pid, others!.all)).toBe(false);
    expect(isMarked(process.pid, marks!.all)).toBe(false);
  });

  test("can be set by bash too", async () => {
    const mark = (await createLockMarks("bash"))!.next();
    expect(isMarked(await startMarked(mark, "bash"), mark.range)).toBe(true);
  });

  test("is used again after many commands", async () => {
    const marks = await createLockMarks("/bin/sh");
    const first = marks!.next();
    const later = Array.from({ length: 2 ** 14 }, () => marks!.next());
    expect(later.at(-1)).toEqual(first);
    expect(new Set(later.map(({ range }) => range.low)).size).toBe(2 ** 14);
  });

  test("of a sandbox within a sandbox lies within the outer mark", async () => {
    const outer = (await createLockMarks("/bin/sh"))!.next();
    const script = `
      const { createLockMarks } = await import(${JSON.stringify(new URL("lock-marks.ts", import.meta.url).href)});
      const marks = await createLockMarks("/bin/sh");
      console.log([marks.all.low, marks.all.high, marks.next().shellCode].join("|"));`;
    const node = [process.execPath, "--conditions=@stigmer/source", "--input-type=module", "--eval", script];
    const run = `${outer.shellCode}exec "$@"`;
    const [low, high, code] = execFileSync("/bin/sh", ["-c", run, "sh", ...node], { encoding: "utf8" })
      .trim()
      .split("|");
    expect(BigInt(low!)).toBeGreaterThanOrEqual(outer.range.low);
    expect(BigInt(high!)).toBeLessThanOrEqual(outer.range.high);
    const limits = `${outer.shellCode}${code} cat /proc/self/limits`;
    expect(execFileSync("/bin/sh", ["-c", limits], { encoding: "utf8" })).toContain(code!.match(/\d+/)![0]);
  });
});

test("is not to be had from a shell that does not know it", async () => {
  expect(await createLockMarks("/bin/false")).toBeUndefined();
  expect(await createLockMarks("/no/such/shell")).toBeUndefined();
});
