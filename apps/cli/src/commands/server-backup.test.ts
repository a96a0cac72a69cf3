import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { startServer } from "@stigmer/server";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { startCli } from "../__fixtures__/local-server.ts";
import { acquireLock } from "../daemon/lock.ts";
import { showBytes } from "../output/bytes.ts";

let folder: string;
let home: string;
let dataDir: string;
let file: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "stigmer-cli-backup-"));
  home = join(folder, "home");
  dataDir = join(home, "data");
  file = join(folder, "state.backup");
  await (await startServer({ home, port: 0 })).close();
});
afterEach(() => rmSync(folder, { recursive: true }));

const run = (args: string[], env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> =>
  startCli(["server", ...args], { cwd: folder, env: { STIGMER_HOME: home, ...env } }).done;

const backup = async (): Promise<void> => void (await run(["backup", file]));

it("makes a file, says what is in it and what is not, and brings it back elsewhere", async () => {
  const made = await run(["backup", "state.backup"]);
  expect(made).toEqual({
    code: 0,
    out: `Backed up ${dataDir} to ${file}: ${showBytes(statSync(file).size)}, 0 skill archives, no conversations yet.\n`,
    err: `The key is not in it: secrets in it can only be read with ${dataDir}/encryption.key, keep that apart.\n`,
  });
  const other = join(folder, "other");
  const restored = await run(["restore", file], { STIGMER_HOME: other });
  expect(restored.code).toBe(0);
  expect(restored.out).toMatch(new RegExp(`^Restored ${other}/data as it was at \\S+Z, written by stigmer \\S+\\.\n$`));
  expect(restored.err).toBe(
    `Secrets can't be read without their key: put it in ${other}/data/encryption.key before the server starts, which makes a new one otherwise.\n`,
  );
});

it("replaces a file, and a directory's content, only when it is told to", async () => {
  writeFileSync(file, "mine");
  expect(await run(["backup", file])).toMatchObject({ code: 1, err: expect.stringContaining("--force") as string });
  expect(readFileSync(file, "utf8")).toBe("mine");
  expect(await run(["backup", file, "--force"])).toMatchObject({ code: 0 });
  const refused = await run(["restore", file]);
  expect(refused).toEqual({
    code: 1,
    out: "",
    err: `${dataDir} is not empty: name another directory with STIGMER_DATA_DIR, or move what is in it aside with --force.\n`,
  });
  const { code, out, err } = await run(["restore", file, "--force"]);
  // The key stayed where it was.
  expect([code, err]).toEqual([0, ""]);
  const aside = /What it held before is in (\S+)\.\n$/.exec(out)?.[1] ?? "";
  expect(readdirSync(aside)).toContain("stigmer.db");
});

it("tells whose key it is when the environment has it", async () => {
  const env = { STIGMER_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64") };
  const made = await run(["backup", file], env);
  expect(made.err).toContain("can only be read with STIGMER_ENCRYPTION_KEY");
  expect(await run(["restore", file], { ...env, STIGMER_HOME: join(folder, "a") })).toMatchObject({ code: 0, err: "" });
  const other = { STIGMER_ENCRYPTION_KEY: Buffer.alloc(32, 8).toString("base64"), STIGMER_HOME: join(folder, "b") };
  const restored = await run(["restore", file], other);
  expect([restored.code, restored.err]).toEqual([
    0,
    "Secrets can't be read: the key in STIGMER_ENCRYPTION_KEY is another key than the one that they were sealed with. Put that one there.\n",
  ]);
});

describe("what is in the way is told in one line, and nothing is changed", () => {
  const damage = (change: () => void) => async (): Promise<void> => {
    await backup();
    change();
  };
  const edit = (path: () => string, sql: string) => (): void => {
    using database = new DatabaseSync(path());
    database.exec(sql);
  };
  const stored = (): string => join(dataDir, "stigmer.db");

  it.each<[what: string, prepare: () => Promise<void> | void, args: () => string[], says: () => string[]]>([
    [
      "no directory",
      () => {},
      () => ["backup", join(folder, "none/b")],
      () => [`There is no directory ${folder}/none`],
    ],
    ["a directory", () => {}, () => ["backup", folder], () => [`${folder} is a directory`]],
    ["a file that is there", backup, () => ["backup", file], () => [`${file} exists already`, "--force"]],
    ["a place for no files", () => {}, () => ["backup", "/proc/b"], () => ["/proc"]],
    ["a directory that is a file", () => {}, () => ["backup", "/dev/null/b"], () => ["/dev/null"]],
    ["no file", () => {}, () => ["restore", "--force", file], () => [`Cannot read ${file}`]],
    ["no backup", backup, () => ["restore", "--force", stored()], () => ["is not a backup of Stigmer"]],
    [
      "half a file",
      damage(() => truncateSync(file, statSync(file).size / 2)),
      () => ["restore", "--force", file],
      () => [`${file} is damaged`],
    ],
    [
      "a newer format",
      damage(edit(() => file, "PRAGMA user_version = 99")),
      () => ["restore", "--force", file],
      () => ["format 99", "use a newer stigmer"],
    ],
    [
      "a newer schema",
      damage(
        edit(
          () => file,
          "UPDATE backup SET manifest = json_set(manifest, '$.schemaVersion', 99, '$.version', '9.1.0')",
        ),
      ),
      () => ["restore", "--force", file],
      () => ["schema version 99 of stigmer 9.1.0"],
    ],
    [
      "a newer database",
      edit(stored, "INSERT INTO migrations VALUES (999, 'then')"),
      () => ["backup", file],
      () => ["schema version 999", "use the newer stigmer"],
    ],
  ])("%s", async (_what, prepare, args, says) => {
    await prepare();
    const before = [readdirSync(folder), readdirSync(dataDir)];
    const { code, out, err } = await run(args());
    expect([code, out, err.split("\n").length], err).toEqual([1, "", 2]);
    for (const part of says()) expect(err).toContain(part);
    expect([readdirSync(folder), readdirSync(dataDir)]).toEqual(before);
  });

  it("a server, a daemon, or no server's data", async () => {
    await backup();
    const server = await startServer({ home, port: 0 });
    const refused = await run(["restore", file, "--force"]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(`Another Stigmer server uses ${dataDir}`)]);
    await server.close();

    const lock = acquireLock(join(home, "run/daemon.lock"));
    const state = { pid: 4711, port: 0, home, dataDir, logsDir: "", startedAt: "", processes: [] };
    mkdirSync(join(home, "run"), { recursive: true });
    writeFileSync(join(home, "run/daemon.json"), JSON.stringify(state));
    const daemon = await run(["restore", file, "--force"]);
    expect([daemon.code, daemon.err.split("\n").length]).toEqual([1, 2]);
    lock?.release();

    const nowhere = { STIGMER_DATA_DIR: join(folder, "nowhere") };
    const none = await run(["backup", join(folder, "b")], nowhere);
    expect(none).toEqual({ code: 1, out: "", err: `There is no database in ${folder}/nowhere: nothing to back up.\n` });
    for (const [command, instead] of [
      ["backup", "pg_dump"],
      ["restore", "pg_restore"],
    ] as const) {
      const postgres = await run([command, file], { STIGMER_DATABASE_URL: "postgres://h/d" });
      const err = `This server's data is in Postgres, which has tools of its own: use ${instead}.\n`;
      expect(postgres).toEqual({ code: 1, out: "", err });
    }
    const unwritable = await run(["restore", file], { STIGMER_DATA_DIR: "/proc/none/data" });
    expect([unwritable.code, unwritable.err]).toEqual([
      1,
      expect.stringMatching(/^Cannot write to \/proc\/none: .*\n$/),
    ]);
    expect(await run(["backup"])).toMatchObject({ code: 2 });
    expect(await run(["restore", file, "--key"])).toMatchObject({ code: 2 });
  });
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1_500, "1.5 kB"],
  [999_949, "999.9 kB"],
  [999_950, "1.0 MB"],
  [3e12, "3.0 TB"],
])("%i bytes are %s", (bytes, text) => expect(showBytes(bytes)).toBe(text));
