import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createBackup } from "./backup/create-backup.ts";
import { restoreBackup } from "./backup/restore-backup.ts";
import { startServer } from "./start-server.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-start-"));
});
afterEach(() => rm(home, { recursive: true }));

/** Answers with the first line that the other process prints. */
async function runServer(): Promise<{ child: ChildProcess; said: string; kill: () => Promise<void> }> {
  const program = fileURLToPath(new URL("./__fixtures__/run-server.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@stigmer/source", program, home], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  const [said] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return { child, said, kill };
}

describe("one server per data directory", () => {
  it("refuses a second process, and starts once the first was killed", async () => {
    const first = await runServer();
    try {
      expect(first.said).toMatch(/^127\.0\.0\.1:\d+$/);
      await expect(startServer({ home, port: 0 })).rejects.toMatchObject({
        code: "already-running",
        message: expect.stringMatching(`^Another Stigmer server uses ${join(home, "data")}: `) as string,
      });
    } finally {
      await first.kill();
    }
    const next = await startServer({ home, port: 0 });
    const second = await runServer();
    expect(second.said).toBe("already-running");
    await second.kill();
    await next.close();
  });

  it("refuses a second one in this process too, and leaves the directory free after a close", async () => {
    const first = await startServer({ home, port: 0 });
    await expect(startServer({ home, port: 0 })).rejects.toMatchObject({ code: "already-running" });
    await first.close();
    await first.close();
    const second = await startServer({ home, port: 0 });
    await second.close();
  });

  it("lets servers of different data directories share a home", async () => {
    const first = await startServer({ home, port: 0 });
    const second = await startServer({ home, dataDir: join(home, "other"), port: 0 });
    expect(second.apiKey).toBe(first.apiKey);
    await first.close();
    await second.close();
  });

  it("starts with the key of its database only, unless the database is told to forget it", async () => {
    await (await startServer({ home, port: 0 })).close();
    const key = join(home, "data/encryption.key");
    await rename(key, `${key}.lost`);
    const refused = {
      name: "ServerError",
      code: "wrong-key",
      message: expect.stringContaining(` than the one in ${key}: put that key there`) as string,
    };
    await expect(startServer({ home, port: 0 })).rejects.toMatchObject(refused);
    await expect(startServer({ home, port: 0 })).rejects.toMatchObject(refused);
    await rename(`${key}.lost`, key);
    await (await startServer({ home, port: 0 })).close();

    const lost = { home, port: 0, encryptionKey: new Uint8Array(32) };
    const { message } = (await startServer(lost).catch((error: unknown) => error)) as Error;
    const database = new DatabaseSync(join(home, "data/stigmer.db"));
    database.exec(/run (DELETE .*) on the database/.exec(message)?.[1] ?? "");
    database.close();
    await (await startServer(lost)).close();
    await expect(startServer({ home, port: 0 })).rejects.toMatchObject(refused);
  });

  it("goes on with another key after a restore beside that", async () => {
    await (await startServer({ home, port: 0 })).close();
    const file = join(home, "a.backup");
    await createBackup({ dataDir: join(home, "data"), file });
    for (const [name, encryptionKey] of [["missing"], ["other", new Uint8Array(32)]] as const) {
      const given = { home, dataDir: join(home, name), encryptionKey };
      await restoreBackup({ file, ...given });
      await (await startServer({ port: 0, ...given })).close();
      const wrong = { ...given, port: 0, encryptionKey: new Uint8Array(32).fill(1) };
      await expect(startServer(wrong)).rejects.toMatchObject({ code: "wrong-key" });
      await (await startServer({ port: 0, ...given })).close();
    }
    // Beside its own key nothing is forgotten.
    await restoreBackup({ file, dataDir: join(home, "data"), replace: true });
    const wrong = startServer({ home, port: 0, encryptionKey: new Uint8Array(32) });
    await expect(wrong).rejects.toMatchObject({ code: "wrong-key" });
    await (await startServer({ home, port: 0 })).close();
  });

  it("leaves the directory free when it could not start", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    await expect(startServer({ home, port })).rejects.toMatchObject({ code: "port-in-use" });
    await expect(startServer({ home, port: 0, encryptionKey: new Uint8Array(3) })).rejects.toThrow(/3 bytes/);
    other.close();
    const server = await startServer({ home, port: 0 });
    await server.close();
    expect(await readdir(join(home, "data"))).toContain("server.lock");
  });
});
