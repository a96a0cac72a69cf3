// Root may write anywhere, so what an unwritable home looks like can be shown to another user only.
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
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

  const refused = (directory: string, variable: string): object => ({
    code: "not-writable",
    message: expect.stringMatching(`^cannot write ${directory}: .*; choose another with ${variable}$`) as string,
  });

  it("says which one and how to choose another, and leaves nothing behind", async () => {
    await chmod(folder, 0o500);
    await expect(startServer({ home: folder, port: 0 })).rejects.toMatchObject(refused(folder, "STIGMER_HOME"));
    expect(await readdir(folder)).toEqual([]);
  });

  it("names the data directory when that is the one", async () => {
    const dataDir = join(folder, "data");
    await mkdir(dataDir, { mode: 0o500 });
    const given = { home: folder, dataDir, port: 0 };
    await expect(startServer(given)).rejects.toMatchObject(refused(dataDir, "STIGMER_DATA_DIR"));
    const encryptionKey = new Uint8Array(32);
    await expect(startServer({ ...given, encryptionKey })).rejects.toMatchObject(refused(dataDir, "STIGMER_DATA_DIR"));
    expect(await readdir(dataDir)).toEqual([]);
  });

  it("says so when the key can't be read", async () => {
    const path = join(folder, "local.key");
    await writeFile(path, "", { mode: 0o200 });
    await expect(startServer({ home: folder, port: 0 })).rejects.toMatchObject({
      code: "bad-key-file",
      message: expect.stringMatching(`^Cannot read the key file ${path}: .*STIGMER_HOME`) as string,
    });
  });
});
