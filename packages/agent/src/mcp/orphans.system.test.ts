// Five hundred servers of processes that are killed: none is left.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readlink, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const script = fileURLToPath(new URL("__fixtures__/hold-connections.ts", import.meta.url));
const hosts = 5;
const each = 100;

let directory: string;

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "mcp-orphans-")));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** How many processes have their working directory there. */
async function servers(): Promise<number> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const directories = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  return directories.filter((cwd) => cwd === directory).length;
}

it(`${hosts * each} connections of processes that are killed leave nothing behind`, { timeout: 600_000 }, async () => {
  for (let round = 0; round < hosts; round += 1) {
    const host = spawn(process.execPath, ["--conditions=@stigmer/source", script, directory, String(each)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(host.stdout, "data");
      expect(await servers()).toBeGreaterThanOrEqual(each);
    } finally {
      host.kill("SIGKILL");
    }
    await expect.poll(servers, { timeout: 60_000, interval: 100 }).toBe(0);
  }
});
