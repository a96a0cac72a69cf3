// The daemon as users start it: real processes, started by the command line.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isAlive } from "../../daemon/is-alive.ts";

const main = join(import.meta.dirname, "../../main.ts");
const planted = {
  ANTHROPIC_API_KEY: "planted-anthropic",
  OPENAI_API_KEY: "planted-openai",
  DAYTONA_API_KEY: "planted-daytona",
  STIGMER_API_KEY: "planted-stigmer",
  STIGMER_ENCRYPTION_KEY: Buffer.from("planted-encryption-key-32-bytes!").toString("base64"),
};

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-real-"));
});
afterEach(async () => {
  await stigmer("stop");
  await rm(home, { recursive: true, force: true, maxRetries: 3 });
});

function stigmer(...args: string[]): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"], STIGMER_HOME: home, ...planted };
  return new Promise((done) => {
    execFile(
      process.execPath,
      ["--conditions=@stigmer/source", main, "local", ...args],
      { env },
      (error, stdout, stderr) => done({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

interface Status {
  readonly pid: number;
  readonly endpoint: string;
  readonly processes: readonly { readonly pid: number }[];
}

async function start(port: string): Promise<Status> {
  const { code, stdout, stderr } = await stigmer("start", "--port", port, "--json");
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Model: anthropic/) });
  return JSON.parse(stdout) as Status;
}

const pidsOf = ({ pid, processes }: Status): number[] => [pid, ...processes.map((each) => each.pid)];

test(
  "secrets reach whom they are for, and stand in no environment and no arguments",
  { timeout: 120_000 },
  async () => {
    const pids = pidsOf(await start("0"));
    expect(new Set(pids).size).toBe(3);
    // What stands there can only be read on Linux.
    for (const pid of process.platform === "linux" ? pids : []) {
      const seen = await Promise.all(["environ", "cmdline"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8")));
      expect(seen[0]).toContain(`STIGMER_HOME=${home}`);
      for (const secret of Object.values(planted)) expect(seen.join("\0")).not.toContain(secret);
    }
    // The server would have made one, had it been given none.
    expect(existsSync(join(home, "data/encryption.key"))).toBe(false);

    expect(await stigmer("stop")).toMatchObject({ code: 0, stdout: `Stopped (PID ${pids[0]}).\n` });
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(join(home, "run/daemon.json"))).toBe(false);
  },
);

test("after kill -9 of the daemon, a start on the same port succeeds at once", { timeout: 120_000 }, async () => {
  const before = await start("0");
  process.kill(before.pid, "SIGKILL");
  const after = await start(before.endpoint.split(":")[1] ?? "");
  expect(after.endpoint).toBe(before.endpoint);
  expect(new Set([...pidsOf(before), ...pidsOf(after)]).size).toBe(6);
  await expect.poll(() => pidsOf(before).filter(isAlive), { timeout: 15_000 }).toEqual([]);
});
