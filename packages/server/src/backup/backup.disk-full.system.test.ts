// Backups and restores on a real disk without room: a filesystem in memory that this test mounts.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { execution } from "../store/__fixtures__/conformance/executions.ts";
import { openSqliteStore } from "../store/sqlite/create-store.ts";
import { createBackup } from "./create-backup.ts";
import { restoreBackup } from "./restore-backup.ts";

const run = promisify(execFile);

let folder: string;
let disk: string;
let dataDir: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "stigmer-backup-full-"));
  disk = mkdtempSync(join(tmpdir(), "stigmer-backup-disk-"));
  dataDir = join(folder, "data");
  await run("mount", ["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", disk]);
  const store = openSqliteStore({ dataDir });
  const artifact = randomBytes(4_000_000);
  const hash = createHash("sha256").update(artifact).digest("hex");
  await store.artifacts.put(hash, artifact);
  await store.skillVersions.put({ skillId: "skl-1", hash, createdAt: 1, body: new Uint8Array() });
  await store.executions.insert(execution({ id: "aex-1" }));
  await store.close();
});
afterEach(async () => {
  await run("umount", [disk]);
  for (const directory of [disk, folder]) rmSync(directory, { recursive: true });
});

const full = (directory: string): object => ({
  code: "unwritable",
  message: `The disk is full: make room in ${directory}, then try again`,
});

it("a backup leaves nothing behind", async () => {
  const refused = createBackup({ dataDir, file: join(disk, "a.backup") });
  await expect(refused).rejects.toMatchObject(full(disk));
  expect(readdirSync(disk)).toEqual([]);
});

it("a restore leaves what was there", async () => {
  const file = join(folder, "a.backup");
  await createBackup({ dataDir, file });
  const target = join(disk, "data");
  const old = openSqliteStore({ dataDir: target });
  await old.executions.insert(execution({ id: "aex-old" }));
  await old.close();
  const refused = restoreBackup({ file, dataDir: target, replace: true });
  await expect(refused).rejects.toMatchObject(full(target));
  expect(readdirSync(target).toSorted()).toEqual(["server.lock", "stigmer.db"]);
  const store = openSqliteStore({ dataDir: target });
  expect((await store.executions.list({}, { limit: 9 })).map(({ id }) => id)).toEqual(["aex-old"]);
  await store.close();
});
