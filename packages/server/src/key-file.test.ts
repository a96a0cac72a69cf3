import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadOrCreateKeyFile } from "./key-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("key file", () => {
  it("is made once, for its owner alone", async () => {
    const path = join(folder, "deep", "local.key");
    const key = await loadOrCreateKeyFile(path);
    expect(key).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await loadOrCreateKeyFile(path)).toEqual(key);
  });

  it("is the same for all who start at once", async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKeyFile(join(folder, "local.key"))));
    expect(new Set(keys.map((key) => key.toString("hex"))).size).toBe(1);
  });

  it("is refused when others can read it, or when it is damaged", async () => {
    const path = join(folder, "local.key");
    await loadOrCreateKeyFile(path);
    await chmod(path, 0o644);
    await expect(loadOrCreateKeyFile(path)).rejects.toThrow(/chmod 600/);
    await chmod(path, 0o600);
    await writeFile(path, "short");
    await expect(loadOrCreateKeyFile(path)).rejects.toThrow(/does not hold a key/);
  });
});
