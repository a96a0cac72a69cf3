// Root may write anywhere.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSqliteStore } from "./create-store.ts";
import { lockDataDir } from "./lock.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "stigmer-open-"));
});
afterEach(() => {
  chmodSync(dataDir, 0o700);
  rmSync(dataDir, { recursive: true });
});

it.each([
  ["opening a store", openSqliteStore],
  ["taking the directory", (options: { dataDir: string }) => lockDataDir(options.dataDir)],
])("%s names the directory that can't be written", (_what, open) => {
  const refused = (directory: string): Error =>
    expect.objectContaining({
      code: "not-writable",
      message: expect.stringMatching(`^cannot write ${directory}: .*; choose another with STIGMER_DATA_DIR$`) as string,
    }) as Error;
  chmodSync(dataDir, 0o555);
  expect(() => open({ dataDir })).toThrow(refused(dataDir));
  const inside = join(dataDir, "inside");
  expect(() => open({ dataDir: inside })).toThrow(refused(inside));
});

it("names the directory whose database can't be written", async () => {
  await openSqliteStore({ dataDir }).close();
  chmodSync(join(dataDir, "stigmer.db"), 0o444);
  expect(() => openSqliteStore({ dataDir })).toThrow(expect.objectContaining({ code: "not-writable" }));
});

it("does not take a directory whose lock it may only read", () => {
  writeFileSync(join(dataDir, "server.lock"), "", { mode: 0o444 });
  expect(() => lockDataDir(dataDir)).toThrow(expect.objectContaining({ code: "not-writable" }));
});
