import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
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
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { execution, task } from "../store/__fixtures__/conformance/executions.ts";
import { resource } from "../store/__fixtures__/conformance/resources.ts";
import { openSqliteStore } from "../store/sqlite/create-store.ts";
import { lockDataDir } from "../store/sqlite/lock.ts";
import type { Store } from "../store/store.ts";
import { createBackup } from "./create-backup.ts";
import { restoreBackup } from "./restore-backup.ts";

let folder: string;
let dataDir: string;
let file: string;
const opened: Store[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stigmer-backup-"));
  dataDir = join(folder, "data");
  file = join(folder, "a.backup");
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

function open(directory = dataDir): Store {
  const store = openSqliteStore({ dataDir: directory });
  opened.push(store);
  return store;
}

async function pushSkill(store: Store, skillId: string, artifact: Uint8Array): Promise<string> {
  const hash = createHash("sha256").update(artifact).digest("hex");
  await store.artifacts.put(hash, artifact);
  await store.skillVersions.put({ skillId, hash, createdAt: 1, body: new Uint8Array() });
  return hash;
}

/** As a runner keeps its conversations: a database of its own beside the server's. */
function writeConversations(name: string, text: string): DatabaseSync {
  const database = new DatabaseSync(join(dataDir, name));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS said (text TEXT)");
  database.prepare("INSERT INTO said VALUES (?)").run(text);
  return database;
}

function conversationsIn(directory: string, name: string): unknown[] {
  using database = new DatabaseSync(join(directory, name), { readOnly: true });
  return database
    .prepare("SELECT text FROM said")
    .all()
    .map(({ text }) => text);
}

const idsIn = async (store: Store): Promise<string[]> =>
  (await store.executions.list({}, { limit: 1_000_000 })).map(({ id }) => id);

describe("a backup", () => {
  it("holds the server's state, its artifacts and the runner's conversations, in one file for its owner", async () => {
    const store = open();
    await store.resources.insert(resource({ id: "agt-1", tags: ["t"] }));
    await store.transaction(async (tx) => {
      await tx.executions.insert(execution({ id: "aex-1" }));
      await tx.tasks.enqueue(task("aex-1"));
    });
    // Several pieces, the last one not full.
    const artifact = randomBytes(2_500_000);
    const hash = await pushSkill(store, "skl-1", artifact);
    const conversations = writeConversations("checkpoints.db", "Hello");
    const calls = writeConversations("tool-calls.db", "execute");
    const encryptionKey = randomBytes(32);

    const made = await createBackup({ dataDir, file, encryptionKey });
    expect(made).toMatchObject({ missingArtifacts: [], bytes: statSync(file).size });
    expect(made.parts.map(({ name }) => name)).toEqual([
      `artifacts/${hash}.zip`,
      "stigmer.db",
      "checkpoints.db",
      "tool-calls.db",
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file).includes(encryptionKey)).toBe(false);
    expect(readdirSync(folder).toSorted()).toEqual(["a.backup", "data"]);
    conversations.close();
    calls.close();

    const other = join(folder, "other/data");
    const restored = await restoreBackup({ file, dataDir: other, encryptionKey });
    expect(restored).toMatchObject({ key: "same", takenAt: made.takenAt, schemaVersion: made.schemaVersion });
    expect(restored.aside).toBeUndefined();
    const again = open(other);
    expect(await again.resources.list({ kind: "Agent", tags: ["t"] }, { limit: 9 })).toHaveLength(1);
    expect(await idsIn(again)).toEqual(["aex-1"]);
    expect(await again.queue.counts()).toMatchObject({ waiting: 1 });
    expect(await again.artifacts.get(hash)).toEqual(artifact);
    expect(conversationsIn(other, "checkpoints.db")).toEqual(["Hello"]);
    expect(conversationsIn(other, "tool-calls.db")).toEqual(["execute"]);
    expect(statSync(other).mode & 0o777).toBe(0o700);
    for (const name of ["stigmer.db", "checkpoints.db", `artifacts/${hash}.zip`]) {
      expect(statSync(join(other, name)).mode & 0o777).toBe(0o600);
    }
  });

  it("is of one moment while everything is written: all that was acknowledged before, nothing in halves", async () => {
    const store = open();
    const conversations = writeConversations("checkpoints.db", "0");
    let written = 0;
    let stop = false;
    const acknowledged: string[] = [];
    const lane = async (): Promise<void> => {
      while (!stop) {
        const id = `aex-${written++}`;
        await store.transaction(async (tx) => {
          await tx.executions.insert(execution({ id, body: randomBytes(2_000) }));
          await tx.tasks.enqueue(task(id));
        });
        acknowledged.push(id);
        // What the runner knows it knows after the server.
        conversations.prepare("INSERT INTO said VALUES (?)").run(id);
      }
    };
    const lanes = [lane(), lane(), lane(), lane()];
    while (acknowledged.length < 300) await new Promise((resolve) => setImmediate(resolve));
    const before = [...acknowledged];
    await createBackup({ dataDir, file });
    expect(acknowledged.length).toBeGreaterThan(before.length);
    stop = true;
    await Promise.all(lanes);
    conversations.close();

    const other = join(folder, "other");
    await restoreBackup({ file, dataDir: other });
    const restored = open(other);
    const ids = await idsIn(restored);
    expect(ids).toEqual(expect.arrayContaining(before));
    expect(await restored.queue.counts()).toMatchObject({ waiting: ids.length });
    expect(await restored.executions.orphans()).toEqual([]);
    expect(ids).toEqual(expect.arrayContaining(conversationsIn(other, "checkpoints.db").slice(1)));
    expect(ids.length).toBeLessThan(written);
  });

  it("has every artifact that it refers to, while skills come and go", async () => {
    const store = open();
    let stop = false;
    let count = 0;
    const churn = async (): Promise<void> => {
      while (!stop) {
        const skillId = `skl-${count++}`;
        await pushSkill(store, skillId, randomBytes(1_000));
        if (count % 3 === 0)
          for (const hash of await store.skillVersions.deleteAll(skillId)) await store.artifacts.delete(hash);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const churning = churn();
    while (count < 30) await new Promise((resolve) => setImmediate(resolve));
    const made = await createBackup({ dataDir, file });
    stop = true;
    await churning;
    expect(made.missingArtifacts).toEqual([]);
    const other = join(folder, "other");
    await restoreBackup({ file, dataDir: other });
    using database = new DatabaseSync(join(other, "stigmer.db"));
    const hashes = database
      .prepare("SELECT hash FROM skill_versions")
      .all()
      .map(({ hash }) => `${String(hash)}.zip`);
    expect(hashes.length).toBeGreaterThan(10);
    expect(readdirSync(join(other, "artifacts")).toSorted()).toEqual(hashes.toSorted());
  });

  it("tells of artifacts that are lost or damaged already, and holds the rest", async () => {
    const store = open();
    const [lost, damaged, whole] = [
      await pushSkill(store, "skl-1", randomBytes(10)),
      await pushSkill(store, "skl-2", randomBytes(10)),
      await pushSkill(store, "skl-3", randomBytes(10)),
    ];
    await store.artifacts.delete(lost);
    writeFileSync(join(dataDir, "artifacts", `${damaged}.zip`), "no");
    const { missingArtifacts, parts } = await createBackup({ dataDir, file });
    expect(missingArtifacts.toSorted()).toEqual([lost, damaged].toSorted());
    expect(parts.map(({ name }) => name)).toEqual([`artifacts/${whole}.zip`, "stigmer.db"]);
    await restoreBackup({ file, dataDir: join(folder, "other") });
  });

  it("replaces no file unless it is told to, and leaves the old one until the new one is whole", async () => {
    open();
    writeFileSync(file, "mine");
    await expect(createBackup({ dataDir, file })).rejects.toMatchObject({ code: "exists" });
    expect(readFileSync(file, "utf8")).toBe("mine");
    await createBackup({ dataDir, file, overwrite: true });
    await restoreBackup({ file, dataDir: join(folder, "other") });
  });

  it("leaves nothing when it is ended before its time", async () => {
    await pushSkill(open(), "skl-1", randomBytes(10_000_000));
    const reason = new Error("enough");
    const ending = createBackup({ dataDir, file, signal: AbortSignal.abort(reason) });
    await expect(ending).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual(["data"]);
  });

  it("says what it can't read or write", async () => {
    await expect(createBackup({ dataDir, file })).rejects.toMatchObject({
      code: "no-database",
      message: `There is no database in ${dataDir}: nothing to back up.`,
    });
    expect(existsSync(dataDir)).toBe(false);
    const store = open();
    await expect(createBackup({ dataDir, file: join(folder, "none/a") })).rejects.toMatchObject({
      code: "no-directory",
    });
    await expect(createBackup({ dataDir, file: folder })).rejects.toMatchObject({ code: "exists" });
    await store.close();
    using database = new DatabaseSync(join(dataDir, "stigmer.db"));
    database.exec("INSERT INTO migrations VALUES (999, 'then')");
    await expect(createBackup({ dataDir, file })).rejects.toMatchObject({ code: "newer" });
    writeFileSync(join(dataDir, "stigmer.db"), "This is not a database. ".repeat(500));
    await expect(createBackup({ dataDir, file })).rejects.toMatchObject({ code: "damaged" });
    expect(readdirSync(folder)).toEqual(["data"]);
  });
});

describe("a restore", () => {
  async function makeBackup(): Promise<void> {
    const store = open();
    await store.executions.insert(execution({ id: "aex-new" }));
    await pushSkill(store, "skl-1", randomBytes(3_000_000));
    await createBackup({ dataDir, file, encryptionKey: new Uint8Array(32).fill(1) });
    await store.close();
  }

  const refusal = (code: string): object => expect.objectContaining({ code }) as object;

  it("moves what is there aside when it is told to, and never deletes it", async () => {
    await makeBackup();
    await expect(restoreBackup({ file, dataDir })).rejects.toEqual(refusal("not-empty"));
    const store = open();
    await store.executions.insert(execution({ id: "aex-later" }));
    await store.close();
    mkdirSync(join(dataDir, "spill"));
    writeFileSync(join(dataDir, "encryption.key"), "key of before");
    const { aside = "" } = await restoreBackup({ file, dataDir, replace: true });
    expect(aside).toMatch(/\/data\/before-restore-\d{8}T\d{9}Z$/);
    expect(await idsIn(open())).toEqual(["aex-new"]);
    expect((await idsIn(open(aside))).toSorted()).toEqual(["aex-later", "aex-new"]);
    expect(readdirSync(aside)).toEqual(expect.arrayContaining(["artifacts", "encryption.key", "spill"]));
    expect(readFileSync(join(dataDir, "encryption.key"), "utf8")).toBe("key of before");
    await Promise.all(opened.splice(0).map((one) => one.close()));
    // What was moved aside stays through the next one.
    await restoreBackup({ file, dataDir, replace: true });
    expect(readdirSync(dataDir).filter((name) => name.startsWith("before-restore-"))).toHaveLength(2);
  });

  it("tells whether the secrets' key is there", async () => {
    await makeBackup();
    const restoreInto = (name: string, encryptionKey?: Uint8Array): Promise<{ key: string }> =>
      restoreBackup({ file, dataDir: join(folder, name), encryptionKey });
    expect(await restoreInto("a")).toMatchObject({ key: "missing" });
    expect(await restoreInto("b", new Uint8Array(32).fill(1))).toMatchObject({ key: "same" });
    expect(await restoreInto("c", new Uint8Array(32).fill(2))).toMatchObject({ key: "differs" });
    mkdirSync(join(folder, "d"));
    writeFileSync(join(folder, "d/encryption.key"), `${Buffer.alloc(32, 1).toString("base64url")}\n`);
    expect(await restoreInto("d")).toMatchObject({ key: "same" });
  });

  it("refuses while a server or a runner is at work in the directory", async () => {
    await makeBackup();
    const lock = lockDataDir(dataDir);
    await expect(restoreBackup({ file, dataDir, replace: true })).rejects.toEqual(refusal("already-running"));
    lock.release();
    const runner = writeConversations("checkpoints.db", "Hello");
    await expect(restoreBackup({ file, dataDir, replace: true })).rejects.toEqual(refusal("in-use"));
    runner.close();
    await restoreBackup({ file, dataDir, replace: true });
  });

  it.each<[what: string, code: string, change: () => void]>([
    ["no file", "unreadable", () => rmSync(file)],
    ["a directory", "unreadable", () => (rmSync(file), mkdirSync(file))],
    ["something else", "not-a-backup", () => writeFileSync(file, "no backup ".repeat(1_000))],
    ["an empty file", "not-a-backup", () => truncateSync(file, 0)],
    ["a database", "not-a-backup", () => writeFileSync(file, readFileSync(join(dataDir, "stigmer.db")))],
    ["the first half", "damaged", () => truncateSync(file, statSync(file).size / 2)],
    ["all but the last page", "damaged", () => truncateSync(file, statSync(file).size - 65_536)],
    ["a newer format", "newer", () => edit("PRAGMA user_version = 999")],
    ["a newer schema", "newer", () => edit(`UPDATE backup SET manifest = json_set(manifest, '$.schemaVersion', 999)`)],
    [
      "an unknown part",
      "damaged",
      () => edit(`UPDATE backup SET manifest = json_set(manifest, '$.parts[0].name', '../x')`),
    ],
    ["a missing piece", "damaged", () => edit("DELETE FROM pieces WHERE part LIKE 'artifacts/%' AND position = 1")],
    ["a changed piece", "damaged", () => edit("UPDATE pieces SET bytes = zeroblob(100) WHERE part = 'stigmer.db'")],
    ["no manifest", "damaged", () => edit("DELETE FROM backup")],
  ])("refuses %s in one line, and changes nothing", async (_what, code, change) => {
    await makeBackup();
    change();
    const error = await restoreBackup({ file, dataDir, replace: true }).catch((caught: unknown) => caught);
    expect(error).toEqual(refusal(code));
    expect((error as Error).message).not.toContain("\n");
    expect((error as Error).message).toContain(file);
    expect(readdirSync(dataDir).filter((name) => name.includes("restore"))).toEqual([]);
    expect(await idsIn(open())).toEqual(["aex-new"]);
  });

  function edit(sql: string): void {
    using database = new DatabaseSync(file);
    database.exec(sql);
  }

  it("is there whole or not at all wherever it is killed", { timeout: 120_000 }, async () => {
    await makeBackup();
    const program = fileURLToPath(new URL("./__fixtures__/restore-and-die.ts", import.meta.url));
    const outcomes: string[] = [];
    for (let changes = 0; ; changes++) {
      const home = join(folder, `killed-${changes}`);
      const store = open(home);
      await store.executions.insert(execution({ id: "aex-old" }));
      await pushSkill(store, "skl-old", randomBytes(10));
      await store.close();
      writeFileSync(join(home, "encryption.key"), "key");
      const child = spawn(process.execPath, ["--conditions=@stigmer/source", program, file, home, String(changes)], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
      // The next server takes the directory, and finds one state or the other.
      lockDataDir(home).release();
      const found = open(home);
      const ids = await idsIn(found);
      const { hash = "" } = readVersion(home);
      expect(await found.artifacts.get(hash)).toBeDefined();
      await found.close();
      expect(readdirSync(home).filter((name) => name.startsWith("restore."))).toEqual([]);
      const [aside] = readdirSync(home).filter((name) => name.startsWith("before-restore-"));
      expect([ids, aside === undefined]).toEqual(aside === undefined ? [["aex-old"], true] : [["aex-new"], false]);
      const before = aside === undefined ? ["aex-old"] : await idsIn(open(join(home, aside)));
      expect(before).toEqual(["aex-old"]);
      outcomes.push(ids[0] ?? "");
      if (code === 0) break;
      expect(signal).toBe("SIGKILL");
    }
    expect(outcomes.filter((id) => id === "aex-old").length).toBeGreaterThan(5);
    expect(outcomes.filter((id) => id === "aex-new").length).toBeGreaterThan(5);
    expect(outcomes).toEqual(outcomes.toSorted().toReversed());
  });

  function readVersion(directory: string): { hash?: string } {
    using database = new DatabaseSync(join(directory, "stigmer.db"), { readOnly: true });
    return database.prepare("SELECT hash FROM skill_versions").get() as { hash: string };
  }
});
