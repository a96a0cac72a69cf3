import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createSandbox } from "../create-sandbox.ts";
import { hasProc, readProcess } from "./process-table.ts";

const looks = vi.hoisted(() => ({ count: 0 }));
vi.mock(import("./process-table.ts"), async (importOriginal) => {
  const original = await importOriginal();
  return {
    ...original,
    readProcessTable: (...args) => {
      looks.count += 1;
      return original.readProcessTable(...args);
    },
  };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-process-tree-"));
});
afterEach(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

test.runIf(hasProc)("sandboxes that end together look for processes once, and leave none of any of them", async () => {
  const sandboxes = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      createSandbox({ type: "filesystem", rootDir: join(folder, String(index)) }),
    ),
  );
  for (const sandbox of sandboxes) await sandbox.execute("true");
  const [, quiet, left] = sandboxes;
  // Out of its group and session, and without its environment.
  await left?.execute("env -i setsid sh -c 'echo $$ > escaped; exec sleep 1000' > /dev/null 2>&1 &");
  const pid = await vi.waitFor(async () => Number(await readFile(join(folder, "2", "escaped"), "utf8")));
  expect(readProcess(pid)?.state).toMatch(/[RSD]/);

  looks.count = 0;
  await quiet?.dispose();
  expect(looks.count).toBe(1);
  looks.count = 0;
  await Promise.all(sandboxes.map((sandbox) => sandbox.dispose()));
  expect(looks.count).toBeLessThan(10);
  // Dead, if not yet taken note of by its new parent.
  expect(["Z", "X", undefined]).toContain(readProcess(pid)?.state);
});
