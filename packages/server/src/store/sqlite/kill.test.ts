import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { openSqliteStore } from "./create-store.ts";

it.each(["", "lease"])("keeps every acknowledged transaction, whole, over kill -9 (%s)", async (mode) => {
  const dataDir = mkdtempSync(join(tmpdir(), "stigmer-kill-"));
  try {
    const program = fileURLToPath(new URL("./__fixtures__/write-until-killed.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=@stigmer/source", program, dataDir, mode], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    const acknowledged: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 200) child.kill("SIGKILL");
    }
    expect(await exited).toEqual([null, "SIGKILL"]);

    const store = openSqliteStore({ dataDir });
    const stored = (await store.executions.list({}, { limit: 100_000 })).map(({ id }) => id);
    expect(stored).toEqual(expect.arrayContaining(acknowledged));
    // Also what was not acknowledged is there whole or not at all.
    expect(await store.executions.orphans()).toEqual([]);
    // And a lease that was asked for at the same moment is of the same commit: none of its tasks waits.
    const [waiting, leased] = mode === "lease" ? [0, stored.length] : [stored.length, 0];
    expect(await store.queue.counts()).toMatchObject({ waiting, leased });
    await store.close();
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});
