import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";
import { fakeDaemon } from "../../daemon/__fixtures__/fake-daemon.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { startDetached } from "../../daemon/start-detached.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stigmer-reset-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const reset = (args: readonly string[] = [], env: Record<string, string> = {}): Promise<object> =>
  startCli(["local", "reset", ...args], { env: { STIGMER_HOME: home, ...env } }).done;

const session = "ses-01jcz4m9n00000000000000000";
const stigmers = [
  "data/stigmer.db",
  "data/stigmer.db-wal",
  "data/checkpoints.db",
  "data/encryption.key",
  "data/artifacts/aa/one",
  "data/before-restore-1/stigmer.db",
  "logs/daemon.log",
  "logs/agent-runner.log.1",
  `workspaces/${session}/file`,
  "run/daemon.json",
  "run/daemon.lock",
  "local.key",
];
const kept = ["config.yaml", "bin/temporal", "data/mine.db", "logs/notes.log", "workspaces/mine/file", "mine.txt"];

function write(files: readonly string[]): void {
  for (const file of files) {
    mkdirSync(dirname(join(home, file)), { recursive: true });
    writeFileSync(join(home, file), "");
  }
}
const left = (): string[] =>
  readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(home.length + 1))
    .toSorted();

test("what Stigmer made goes, all else stays", async () => {
  write([...stigmers, ...kept]);
  expect(await reset(["--yes"])).toEqual({
    code: 0,
    out: `Deleted what Stigmer kept in ${home}.\n${home}/config.yaml is kept: --all deletes it too.\n`,
    err: "",
  });
  expect(left()).toEqual(kept.toSorted());
  expect(await reset(["--yes", "--all"])).toMatchObject({ code: 0 });
  expect(left()).toEqual(kept.slice(2).toSorted());
  expect(await reset(["--yes", "--all"])).toMatchObject({
    code: 0,
    out: `There is nothing of Stigmer's in ${home}.\n`,
  });
});

test("folders that are left empty go too, and what a link points to stays", async () => {
  write(stigmers);
  const users = join(home, "users");
  mkdirSync(users);
  writeFileSync(join(users, "work"), "");
  symlinkSync(users, join(home, "workspaces", session.replace(/0$/, "1")));
  expect(await reset(["--yes"])).toMatchObject({ code: 0 });
  expect(readdirSync(home)).toEqual(["users"]);
  expect(left()).toEqual(["users/work"]);
});

test("without a terminal it wants --yes, and deletes nothing", async () => {
  write(stigmers);
  expect(await reset()).toMatchObject({ code: 2, out: "", err: expect.stringMatching(/--yes[^\n]*\n$/) });
  expect(left()).toEqual(stigmers.toSorted());
});

test("a daemon that runs is refused, or stopped with --stop", { timeout: 60_000 }, async () => {
  await using fake = await fakeDaemon();
  const { homes, program } = fake;
  await startDetached({ homes, env: { PATH: process.env["PATH"] }, secrets: {}, program });
  const database = join(homes.dataDir, "stigmer.db");
  mkdirSync(homes.dataDir, { recursive: true });
  writeFileSync(database, "");
  const env = { STIGMER_HOME: homes.home };
  expect(await reset(["--yes"], env)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^Stigmer runs in [^\n]* `stigmer local stop`, or add --stop\.\n$/),
  });
  expect([existsSync(database), (await findDaemon(homes))?.state]).toEqual([true, "running"]);
  expect(await reset(["--yes", "--stop"], env)).toMatchObject({ code: 0, err: "" });
  expect([existsSync(database), await findDaemon(homes), fake.alive()]).toEqual([false, undefined, []]);
});
