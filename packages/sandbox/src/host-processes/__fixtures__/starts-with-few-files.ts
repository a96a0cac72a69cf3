// Starts processes where fewer and fewer files may be opened, and says what came of it.
import { closeSync, openSync, readdirSync } from "node:fs";
import { loadLibc } from "../libc.ts";
import { createStartByLibc, startByNode } from "../start-process.ts";

const libc = await loadLibc();
const start = process.argv[2] === startByNode.name || libc === undefined ? startByNode : createStartByLibc(libc);
const open = (): number => readdirSync("/proc/self/fd").length;

const taken: number[] = [];
try {
  for (;;) taken.push(openSync("/dev/null", "r"));
} catch {
  // That was the last one.
}
// Three pipes take six.
for (let spare = 1; spare <= 6; spare++) {
  closeSync(taken.pop() ?? -1);
  const before = open();
  let told = "started";
  try {
    await start("/bin/sh", ["-c", "true"], { cwd: "/", env: {}, stdin: true }).exited;
  } catch (error) {
    told = (error as Error).message;
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  console.log(`${told}, ${open() - before} more open`);
}
