import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { expect, it } from "vitest";
import { makeHome, processesOf, repository } from "./stigmer.ts";

// A person at a terminal, a real one, who has no key yet: it is asked for, typed, used, and seen nowhere.

const KEY = "sk-canary-that-was-typed";

it(
  "asks for a missing key on a terminal, shows none of it, and keeps it in memory alone",
  { timeout: 240_000 },
  async () => {
    await using model = await startScriptedModel({
      scenario: {
        name: "greets",
        scenarios: [{ name: "greets", match: { human: "Hello" }, turns: [{ text: "Good day." }] }],
      },
    });
    await using home = await makeHome({ env: { ANTHROPIC_BASE_URL: model.url } });
    const terminal = openTerminal(["local", "start", "--port", "0"], {
      STIGMER_HOME: home.home,
      ANTHROPIC_BASE_URL: model.url,
    });
    await terminal.shows("Whose API key");
    terminal.type("\r");
    await terminal.shows("ANTHROPIC_API_KEY:");
    for (const letter of KEY) terminal.type(letter);
    await terminal.shows("**");
    terminal.type("\r");
    expect(await terminal.ended, terminal.screen()).toBe(0);
    expect(terminal.screen()).toContain("Agent-runner started successfully");
    expect(terminal.screen()).not.toContain("canary");

    const agent =
      "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: greeter }\nspec: { instructions: Greet whoever speaks to you. }\n";
    expect(await home.stigmer(["apply", "-f", "-"], { stdin: agent })).toMatchObject({ exitCode: 0 });
    // The model answers nobody without a key.
    const run = await home.stigmer(["run", "greeter", "Hello"]);
    expect(run, run.stderr).toMatchObject({ exitCode: 0, stdout: "Good day.\n" });

    expect(await processesWith(KEY)).toEqual([]);
    expect(await filesWith(KEY, home.home)).toEqual([]);
    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    expect(await filesWith(KEY, home.home)).toEqual([]);
    expect(await processesOf(home.home)).toEqual([]);
  },
);

interface Terminal {
  screen(): string;
  shows(text: string): Promise<void>;
  type(keys: string): void;
  /** The exit code. */
  readonly ended: Promise<number | null>;
}

/** `script` is what gives the command a terminal: one without a size, which has to do. */
function openTerminal(args: readonly string[], env: Readonly<Record<string, string>>): Terminal {
  const main = join(repository, "apps/cli/src/main.ts");
  const command = [process.execPath, "--conditions=@stigmer/source", main, ...args]
    .map((word) => `'${word}'`)
    .join(" ");
  const child: ChildProcess = spawn(
    "script",
    ["--quiet", "--flush", "--return", "--command", `exec ${command}`, "/dev/null"],
    {
      env: { PATH: process.env["PATH"], TERM: "xterm", OLLAMA_BASE_URL: "http://127.0.0.1:9", ...env },
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  let screen = "";
  const ended = once(child, "exit").then(([code]) => code as number | null);
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (screen += text));
  return {
    screen: () => screen,
    async shows(text) {
      while (!screen.includes(text)) {
        const isOver = await Promise.race([
          ended.then(() => true),
          once(child.stdout ?? child, "data").then(() => false),
        ]);
        if (isOver && !screen.includes(text)) throw new Error(`it ended without showing ${text}:\n${screen}`);
      }
    },
    type: (keys) => void child.stdin?.write(keys),
    ended,
  };
}

/** What other processes show of themselves to whoever may look: command lines and environments. */
async function processesWith(secret: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    for (const file of ["cmdline", "environ"]) {
      const text = await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
      if (text.includes(secret)) found.push(`${file} of ${pid}`);
    }
  }
  return found;
}

async function filesWith(secret: string, folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  expect(paths.length).toBeGreaterThan(3);
  const texts = await Promise.all(paths.map((path) => readFile(path, "latin1")));
  return paths.filter((_, index) => texts[index]?.includes(secret));
}
