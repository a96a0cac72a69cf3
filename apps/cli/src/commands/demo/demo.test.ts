import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { startServer } from "@stigmer/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommandIo } from "../../command-io.ts";
import { chooseModel } from "./choose-model.ts";
import { demo } from "./demo.ts";
import { diffTrees } from "./diff-trees.ts";
import { findExample } from "./example.ts";
import { platformEnvironment, type StartPlatform } from "./platform.ts";

const runnerMain = join(import.meta.dirname, "../../../../agent-runner/src/main.ts");

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "stigmer-demo-test-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** A server in this process and a runner beside it: the daemon's part of a demo, without the daemon. */
function createStarter(): { startPlatform: StartPlatform; runners: ChildProcess[]; homes: string[] } {
  const runners: ChildProcess[] = [];
  const homes: string[] = [];
  const startPlatform: StartPlatform = async ({ home, env, secrets }) => {
    homes.push(home);
    const server = await startServer({ home, port: 0 });
    const runner = spawn(process.execPath, ["--conditions=@stigmer/source", runnerMain], {
      cwd: home,
      env: { ...env, MODE: "local", STIGMER_BACKEND_ENDPOINT: server.endpoint, STIGMER_SECRETS_FD: "3" },
      stdio: ["ignore", "ignore", "ignore", "pipe", "ipc"],
    });
    runners.push(runner);
    (runner.stdio[3] as NodeJS.WritableStream).end(JSON.stringify(secrets));
    await once(runner, "message");
    return {
      endpoint: server.endpoint,
      async stop() {
        if (runner.exitCode === null) {
          runner.kill("SIGTERM");
          await once(runner, "exit");
        }
        await server.close();
      },
    };
  };
  return { startPlatform, runners, homes };
}

function createIo(env: Record<string, string> = {}): {
  io: CommandIo;
  out: () => string;
  err: () => string;
  interrupt: () => void;
  printed: (text: string) => Promise<void>;
} {
  const written = { out: "", err: "" };
  const changed = new EventTarget();
  const listeners = new Set<(signal: "SIGINT") => void>();
  const sink = (name: "out" | "err"): PassThrough =>
    new PassThrough().on("data", (chunk) => {
      written[name] += String(chunk);
      changed.dispatchEvent(new Event("change"));
    });
  const io: CommandIo = {
    stdin: new PassThrough(),
    stdout: sink("out"),
    stderr: sink("err"),
    env: {
      PATH: process.env["PATH"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      STIGMER_HOME: join(scratch, "no-home"),
      ...env,
    },
    cwd: scratch,
    onSignal(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return {
    io,
    out: () => written.out,
    err: () => written.err,
    interrupt: () => listeners.forEach((listener) => listener("SIGINT")),
    async printed(text) {
      while (!written.out.includes(text)) await once(changed, "change");
    },
  };
}

describe("the demo", () => {
  test("repairs a copy of the project, shows how, and leaves nothing but the copy", { timeout: 60_000 }, async () => {
    const { startPlatform, runners, homes } = createStarter();
    const { io, out, err } = createIo({ OLLAMA_BASE_URL: "http://127.0.0.1:1" });
    expect(await demo({ startPlatform, directory: scratch }, io)).toBe(0);
    expect(err()).toBe("");
    expect(out()).toMatch(/^No model is configured: .*ANTHROPIC_API_KEY.* replays a scripted model;.*\n/);
    expect(out()).toMatch(/✓ edit_file src\/discount\.js/);
    expect(out()).toMatch(/^completed in \d+\.\d s · [\d,]+ tokens \(/m);
    expect(out()).toMatch(/^Changes: src\/discount\.js$/m);
    expect(out()).toContain("-    if (quantity > tier.from");
    expect(out()).toContain("+    if (quantity >= tier.from");
    const report = /^Report: (.*)$/m.exec(out())?.[1] ?? "";
    expect(readFileSync(report, "utf8")).toMatch(/^# Fix: /);
    expect(runners.map(({ exitCode }) => exitCode)).toEqual([0]);
    expect(homes.map((home) => existsSync(home))).toEqual([false]);
  });

  test.each(["Starting stigmer-server", "I plan"])(
    "stops at Ctrl-C after “%s”",
    { timeout: 60_000 },
    async (moment) => {
      const { startPlatform, runners, homes } = createStarter();
      const { io, err, interrupt, printed } = createIo({ OLLAMA_BASE_URL: "http://127.0.0.1:1" });
      const done = demo({ startPlatform, directory: scratch }, io);
      await Promise.race([printed(moment), done]);
      interrupt();
      interrupt();
      expect(await done).toBe(130);
      expect(err()).toBe("\nStopping…\n");
      expect(runners.map(({ exitCode }) => exitCode)).toEqual([0]);
      expect(homes.map((home) => existsSync(home))).toEqual([false]);
    },
  );

  test("deletes its home also when nothing could be started", async () => {
    const directory = await mkdtemp(join(scratch, "nothing-"));
    let home = "";
    const startPlatform: StartPlatform = async (options) => {
      home = options.home;
      throw new Error("port in use");
    };
    await expect(demo({ startPlatform, directory }, createIo().io)).rejects.toThrow("port in use");
    expect([home !== "", existsSync(home)]).toEqual([true, false]);
    expect((await readdir(directory)).length).toBe(0);
  });
});

describe("the model of the demo", () => {
  const choose = (env: Record<string, string>): ReturnType<typeof chooseModel> =>
    chooseModel(createIo({ OLLAMA_BASE_URL: "http://127.0.0.1:1", ...env }).io, AbortSignal.timeout(10_000));

  test.each<[env: Record<string, string>, expected: object]>([
    [
      { ANTHROPIC_API_KEY: "k" },
      {
        kind: "configured",
        variables: {
          STIGMER_LLM_PROVIDER: "anthropic",
          STIGMER_LLM_MODEL: "claude-sonnet-4-5",
          ANTHROPIC_API_KEY: "k",
        },
      },
    ],
    [
      { OPENAI_API_KEY: "k", OPENAI_BASE_URL: "https://example.com/v1" },
      { variables: { STIGMER_LLM_PROVIDER: "openai", OPENAI_BASE_URL: "https://example.com/v1" } },
    ],
    [{}, { kind: "scripted", hint: expect.stringContaining("set ANTHROPIC_API_KEY or OPENAI_API_KEY") }],
    [
      { STIGMER_LLM_PROVIDER: "ollama" },
      { kind: "scripted", hint: expect.stringContaining("Ollama does not answer at http://127.0.0.1:1: start it") },
    ],
  ])("with %j", async (env, expected) => {
    expect(await choose(env)).toMatchObject(expected);
  });

  test("is not chosen by variables of another home or model", () => {
    const env = { PATH: "p", ANTHROPIC_API_KEY: "k", STIGMER_HOME: "h", MODE: "cloud", REDIS_HOST: "r", LANG: "C" };
    expect(platformEnvironment(env, "/demo")).toEqual({ PATH: "p", LANG: "C", STIGMER_HOME: "/demo" });
  });
});

test("the example is found in the checkout, and in a package that carries it", async () => {
  const inCheckout = findExample();
  expect(existsSync(inCheckout.scenario)).toBe(true);
  const packageDir = join(scratch, "node_modules/@stigmer/cli");
  await cp(inCheckout.directory, join(packageDir, "examples/repo-doctor"), { recursive: true });
  expect(findExample(packageDir).directory).toBe(join(packageDir, "examples/repo-doctor"));
  expect(() => findExample(join(scratch, "empty/cli/package"))).toThrow("install @stigmer/cli again");
});

test("a diff has added, changed and removed text files, and nothing that is no text", async () => {
  const [before, after] = [join(scratch, "before"), join(scratch, "after")];
  const write = async (root: string, files: Record<string, string>): Promise<void> => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(root, name, ".."), { recursive: true });
      await writeFile(join(root, name), text);
    }
  };
  await write(before, { "src/a.js": "one\ntwo\n", "gone.txt": "x\n", "same.txt": "s\n", "image.bin": "\0a" });
  await write(after, {
    "src/a.js": "one\n2\n",
    "new.txt": "n\n",
    "same.txt": "s\n",
    "image.bin": "\0b",
    ".stigmer/skills/s.md": "x",
    "REPORT.md": "r",
  });
  const { files, patch } = await diffTrees(before, after, ["REPORT.md"]);
  expect(files).toEqual(["gone.txt", "new.txt", "src/a.js"]);
  const expected = `--- a/gone.txt
+++ /dev/null
@@ -1,1 +0,0 @@
-x
--- /dev/null
+++ b/new.txt
@@ -0,0 +1,1 @@
+n
--- a/src/a.js
+++ b/src/a.js
@@ -1,2 +1,2 @@
 one
-two
+2
`;
  expect(patch).toBe(expected);
});
