import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { PassThrough } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { memoryKeychain, type MemoryKeychain } from "../../__fixtures__/memory-keychain.ts";
import { findModelKey, type ModelKey } from "./model-key.ts";

const enter = "\r";
const down = "\u001B[B";
const controlC = "\u0003";
const key = "sk-hush-hush";

interface Terminal {
  readonly result: Promise<ModelKey>;
  /** All that was written to the terminal, and to where results go. */
  readonly screen: () => string;
  shows(text: string): Promise<void>;
  type(text: string): void;
}

/** Asks at a terminal that is no real one: keys go in as they come from one in raw mode. */
function ask(keychain: MemoryKeychain = memoryKeychain("none is there")): Terminal {
  const home = mkdtempSync(`${tmpdir()}/stigmer-key-`);
  onTestFinished(() => rmSync(home, { recursive: true }));
  const stdin = Object.assign(new PassThrough(), { isTTY: true, isRaw: false, setRawMode: () => stdin });
  let written = "";
  const screen = (): PassThrough =>
    Object.assign(
      new PassThrough().on("data", (chunk) => (written += String(chunk))),
      { isTTY: true, columns: 80, rows: 24 },
    );
  const io = {
    stdin,
    stdout: screen(),
    stderr: screen(),
    // The discard port: no Ollama is there.
    env: { STIGMER_HOME: home, OLLAMA_BASE_URL: "http://127.0.0.1:9" },
    cwd: "/",
    onSignal: () => () => {},
  };
  const result = findModelKey(io, keychain.open);
  result.catch(() => {});
  return {
    result,
    screen: () => written,
    shows: (text) => expect.poll(() => written, { timeout: 10_000 }).toContain(text),
    type: (text) => void stdin.write(text),
  };
}

test("a key that is typed is masked, and kept for the runner alone", async () => {
  const terminal = ask();
  await terminal.shows("Whose API key");
  terminal.type(down);
  await expect.poll(terminal.screen).toMatch(/● OpenAI/);
  terminal.type(enter);
  await terminal.shows("OPENAI_API_KEY:");
  for (const character of `${key} `) terminal.type(character);
  await terminal.shows("*".repeat(key.length));
  terminal.type(enter);
  expect(await terminal.result).toEqual({
    secrets: { OPENAI_API_KEY: key },
    note: "OPENAI_API_KEY is kept in memory until `stigmer local stop`.",
  });
  for (const part of [key, "hush", "sk-"]) expect(terminal.screen()).not.toContain(part);
  expect(terminal.screen()).not.toContain("keychain");
});

test.each([
  ["y", { keys: [["anthropic", key]], note: "is in the keychain" }],
  [enter, { keys: [], note: "is kept in memory until" }],
] as const)("a keychain is offered for the key where there is one; %j decides", async (answer, { keys, note }) => {
  const keychain = memoryKeychain();
  const terminal = ask(keychain);
  await terminal.shows("Whose API key");
  terminal.type(enter);
  await terminal.shows("ANTHROPIC_API_KEY:");
  for (const character of key) terminal.type(character);
  terminal.type(enter);
  await terminal.shows("Keep it in the keychain?");
  terminal.type(answer);
  expect(await terminal.result).toEqual({
    secrets: { ANTHROPIC_API_KEY: key },
    note: expect.stringContaining(note),
  });
  expect([...keychain.keys]).toEqual(keys);
  expect(terminal.screen()).not.toContain("hush");
});

test("no key is an answer too", async () => {
  const terminal = ask();
  await terminal.shows("Whose API key");
  terminal.type(enter);
  await terminal.shows("ANTHROPIC_API_KEY:");
  terminal.type(enter);
  expect(await terminal.result).toEqual({
    secrets: {},
    note: expect.stringMatching(/^Runs will fail until there is a model\./),
  });
});

test("Ollama is offered, with what to do for it", async () => {
  const terminal = ask();
  await terminal.shows("Whose API key");
  terminal.type(down);
  terminal.type(down);
  await expect.poll(terminal.screen).toMatch(/● Ollama/);
  terminal.type(enter);
  const { secrets, note } = await terminal.result;
  expect(secrets).toEqual({});
  expect(note).toMatch(/ollama\.com.*`ollama pull qwen2\.5-coder:7b`.*without a restart\.$/);
});

test("Ctrl-C at either question starts nothing", async () => {
  const first = ask();
  await first.shows("Whose API key");
  first.type(controlC);
  await expect(first.result).rejects.toMatchObject({ code: "interrupted", message: "Nothing was started." });

  const second = ask();
  await second.shows("Whose API key");
  second.type(enter);
  await second.shows("ANTHROPIC_API_KEY:");
  second.type(controlC);
  await expect(second.result).rejects.toMatchObject({ code: "interrupted", message: "Nothing was started." });
});
