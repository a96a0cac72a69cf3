import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { storeConformance } from "../__fixtures__/conformance/index.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import { openSqliteStore } from "./create-store.ts";

storeConformance({
  name: "sqlite",
  open: async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "stigmer-store-"));
    let store = openSqliteStore({ dataDir });
    return {
      store,
      reopen: async () => {
        await store.close();
        return (store = openSqliteStore({ dataDir }));
      },
      dispose: async () => {
        await store.close();
        rmSync(dataDir, { recursive: true });
      },
    };
  },
});

describe("opening a SQLite store", () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "stigmer-open-"));
  });
  afterEach(() => {
    rmSync(dataDir, { recursive: true });
  });

  it("refuses a database of a newer program and leaves it alone", async () => {
    await openSqliteStore({ dataDir }).close();
    const database = new DatabaseSync(join(dataDir, "stigmer.db"));
    database.exec("INSERT INTO migrations VALUES (999, 'then')");
    database.close();
    expect(() => openSqliteStore({ dataDir })).toThrow(/schema version 999.*STIGMER_DATA_DIR/s);
    expect(() => openSqliteStore({ dataDir })).toThrow(expect.objectContaining({ code: "database-newer" }));
  });

  it("says so when the file is no database, and keeps it", () => {
    const path = join(dataDir, "stigmer.db");
    writeFileSync(path, "This is not a database. ".repeat(100));
    expect(() => openSqliteStore({ dataDir })).toThrow(expect.objectContaining({ code: "database-corrupt" }));
    expect(readFileSync(path, "utf8")).toMatch(/^This is not/);
  });

  it("names the directory that can't be made", () => {
    const file = join(dataDir, "file");
    writeFileSync(file, "");
    const inside = join(file, "data");
    expect(() => openSqliteStore({ dataDir: inside })).toThrow(
      expect.objectContaining({
        code: "not-writable",
        message: expect.stringMatching(`cannot write ${inside}: .*; choose another with STIGMER_DATA_DIR`) as string,
      }),
    );
  });

  it("makes small pages, and goes on with those of a database that is there", async () => {
    const pageBytes = (): unknown => {
      using database = new DatabaseSync(join(dataDir, "stigmer.db"), { readOnly: true });
      return database.prepare("PRAGMA page_size").get()?.["page_size"];
    };
    const before = new DatabaseSync(join(dataDir, "stigmer.db"));
    before.exec("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; CREATE TABLE other (id INTEGER)");
    before.close();
    await openSqliteStore({ dataDir }).close();
    expect(pageBytes()).toBe(4096);
    rmSync(join(dataDir, "stigmer.db"));
    await openSqliteStore({ dataDir }).close();
    expect(pageBytes()).toBe(512);
  });

  it("flushes each commit to disk", async () => {
    const store = openSqliteStore({ dataDir });
    await store.resources.insert(resource({ id: "agt-1" }));
    const other = new DatabaseSync(join(dataDir, "stigmer.db"), { readOnly: true });
    expect(other.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(other.prepare("SELECT count(*) AS count FROM resources").get()).toEqual({ count: 1 });
    other.close();
    await store.close();
  });
});
