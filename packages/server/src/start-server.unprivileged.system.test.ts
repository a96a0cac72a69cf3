// Root may write anywhere, so what an unwritable home looks like can be shown to another user only.
import { chmod, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startServer } from "./start-server.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-readonly-"));
});
afterEach(async () => {
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true });
});

describe("a server whose directory can't be written", () => {
  it("is not started by root here", () => expect(process.geteuid?.()).not.toBe(0));

  it("says which one, and leaves nothing behind", async () => {
    await chmod(folder, 0o500);
    await expect(startServer({ home: folder, port: 0 })).rejects.toMatchObject({ code: "not-writable" });
    await expect(startServer({ home: folder, port: 0 })).rejects.toThrow(folder);
    expect(await readdir(folder)).toEqual([]);
  });

  it("names the data directory when that is the one", async () => {
    const dataDir = join(folder, "data");
    await mkdir(dataDir, { mode: 0o500 });
    await expect(startServer({ home: folder, dataDir, port: 0 })).rejects.toThrow(dataDir);
    await chmod(dataDir, 0o700);
  });
});
