import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { createSpawnThread, type SpawnThread } from "./spawn-thread.ts";

const shell = (command: string, takesInput: boolean = false) => ({
  file: "/bin/sh",
  args: ["-c", command],
  cwd: "/",
  env: { GIVEN: "it" },
  takesInput,
});

async function withThread(use: (thread: SpawnThread) => Promise<void>, idleMs?: number): Promise<void> {
  const thread = createSpawnThread(idleMs === undefined ? {} : { idleMs });
  expect(thread.isReady()).toBe(false);
  await vi.waitUntil(() => thread.isReady(), { timeout: 30_000 });
  await use(thread).finally(() => thread.end());
}

test("starts what is a child of this process, with the environment given and no other", async () => {
  await withThread(async (thread) => {
    const started = await thread.start(shell("echo $PPID $$ $GIVEN; env | grep -c PATH=; exit 3"));
    const said = await text(started.stdout);
    expect(said).toBe(`${process.pid} ${started.pid} it\n0\n`);
    expect(await started.ended).toEqual([3, null]);
    expect(started.isReaped()).toBe(true);
  });
});

test("tells which signal ended it, and gives it what is written", async () => {
  await withThread(async (thread) => {
    const started = await thread.start(shell("read -r line; echo $line >&2; kill -9 $$", true));
    started.stdin?.end("hello\n");
    expect(await text(started.stderr)).toBe("hello\n");
    expect(await started.ended).toEqual([null, "SIGKILL"]);
  });
});

test("lets who prints wait for who reads", async () => {
  await withThread(async (thread) => {
    const started = await thread.start(shell("head -c 3000000 /dev/zero; echo done >&2"));
    const done = once(started.stderr, "data").then(() => "done");
    expect(await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 300, "waits"))])).toBe("waits");
    let bytes = 0;
    for await (const piece of started.stdout) bytes += (piece as Buffer).length;
    expect(bytes).toBe(3_000_000);
    expect(await done).toBe("done");
  });
});

test("ends when it has nothing to do, and not before", async () => {
  await withThread(async (thread) => {
    const started = await thread.start(shell("sleep 0.5; echo on"));
    expect(await text(started.stdout)).toBe("on\n");
    expect(await started.ended).toEqual([0, null]);
    await vi.waitUntil(() => !thread.isReady(), { timeout: 5000 });
    await expect(thread.start(shell("true"))).rejects.toThrow("no thread");
  }, 1000);
});
