import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KeyFile, loadOrCreateKeyFile } from "./key-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const keyFile = (directory: string): KeyFile => ({ directory, name: "local.key", variable: "STIGMER_HOME" });

describe("key file", () => {
  it("is made once, for its owner alone", async () => {
    const file = keyFile(join(folder, "deep"));
    const key = await loadOrCreateKeyFile(file);
    expect(key).toHaveLength(32);
    expect((await stat(join(folder, "deep", "local.key"))).mode & 0o777).toBe(0o600);
    expect(await loadOrCreateKeyFile(file)).toEqual(key);
  });

  it("is the same for all who start at once", async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKeyFile(keyFile(folder))));
    expect(new Set(keys.map((key) => key.toString("hex"))).size).toBe(1);
  });

  it("is refused when others can read it, or when it is damaged", async () => {
    const path = join(folder, "local.key");
    await loadOrCreateKeyFile(keyFile(folder));
    await chmod(path, 0o644);
    await expect(loadOrCreateKeyFile(keyFile(folder))).rejects.toThrow(/chmod 600/);
    await chmod(path, 0o600);
    await writeFile(path, "short");
    await expect(loadOrCreateKeyFile(keyFile(folder))).rejects.toThrow(/does not hold a key/);
  });

  it("says which directory can't be one, and how to choose another", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await expect(loadOrCreateKeyFile(keyFile(file))).rejects.toMatchObject({
      code: "not-writable",
      message: expect.stringMatching(`^cannot write ${file}: .*; choose another with STIGMER_HOME$`) as string,
    });
  });
});
