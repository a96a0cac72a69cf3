import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { startScriptedModel } from "@stigmer/scripted-model";
import { afterEach, beforeEach, expect, test } from "vitest";
import { memoryKeychain } from "../../__fixtures__/memory-keychain.ts";
import { startCli } from "../../__fixtures__/local-server.ts";
import type { CommandIo } from "../../command-io.ts";
import { doctor } from "../doctor/doctor.ts";
import { findModelKey } from "../local/model-key.ts";
import { modelList } from "../model/model-list.ts";
import { modelTest } from "../model/model-test.ts";
import { configKeyList, configKeySet, configKeyUnset } from "./config-key.ts";

const KEY = "sk-hush-hush";
let home: string;
let file: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stigmer-config-key-"));
  file = join(home, "config.yaml");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

interface Said {
  readonly io: CommandIo;
  readonly out: () => string;
  readonly err: () => string;
}

function commandIo(stdin = "", env: Record<string, string> = {}): Said {
  const said = { out: "", err: "" };
  const sink = (name: "out" | "err"): PassThrough =>
    new PassThrough().on("data", (chunk) => (said[name] += String(chunk)));
  const io = {
    stdin: Readable.from([stdin]),
    stdout: sink("out"),
    stderr: sink("err"),
    // The discard port: no Ollama is there.
    env: { STIGMER_HOME: home, OLLAMA_BASE_URL: "http://127.0.0.1:9", ...env },
    cwd: home,
    onSignal: () => () => {},
  };
  return { io, out: () => said.out, err: () => said.err };
}

const listed = async (): Promise<string> => {
  const { io, out } = commandIo();
  await configKeyList({ json: true }, io);
  return out();
};

test("a key goes into the keychain and nowhere else, is taken by a start, and is gone when it is unset", async () => {
  const keychain = memoryKeychain();
  writeFileSync(file, "# mine\nllm: { maxTokens: 9 }\n");
  for (const provider of ["openai", "anthropic"] as const) {
    const { io, out, err } = commandIo(`${KEY}-${provider}\n`);
    await configKeySet({ provider }, io, keychain.open);
    expect(out()).toBe("");
    expect(err()).toContain("is in the keychain");
    expect(err()).not.toContain(KEY);
  }
  expect(keychain.keys.get("anthropic")).toBe(`${KEY}-anthropic`);
  expect(readFileSync(file, "utf8")).toMatch(/^# mine\n/);
  expect(readdirSync(home).toSorted()).toEqual(["config.yaml", "run"]);
  expect(readFileSync(file, "utf8")).not.toContain("hush");
  expect(await listed()).toBe('["anthropic","openai"]\n');

  const found = await findModelKey(commandIo().io, keychain.open);
  expect(found.secrets).toEqual({ OPENAI_API_KEY: `${KEY}-openai`, ANTHROPIC_API_KEY: `${KEY}-anthropic` });
  expect(found.note).toMatch(
    /^OPENAI_API_KEY and ANTHROPIC_API_KEY from the keychain\.\nModel: anthropic:claude-[\w-]+$/,
  );

  for (const provider of ["openai", "anthropic"] as const) {
    await configKeyUnset({ provider }, commandIo().io, keychain.open);
  }
  expect(keychain.keys.size).toBe(0);
  expect(await listed()).toBe("[]\n");
  expect(readFileSync(file, "utf8")).toBe("# mine\nllm: { maxTokens: 9 }\n");
});

test("the keychain is left alone until it is said to keep a key, and when the environment gives one", async () => {
  const keychain = memoryKeychain();
  keychain.keys.set("anthropic", KEY);
  expect((await findModelKey(commandIo().io, keychain.open)).secrets).toEqual({});
  const unset = commandIo();
  await configKeyUnset({ provider: "anthropic" }, unset.io, keychain.open);
  expect(unset.err()).toBe("No key of anthropic is kept.\n");
  writeFileSync(file, "llm: { keychain: [anthropic] }\n");
  const { secrets, note } = await findModelKey(commandIo("", { OPENAI_API_KEY: "hush-o" }).io, keychain.open);
  expect(secrets).toEqual({});
  expect(note).toMatch(/^Model: openai:/);
  expect(keychain.opened()).toBe(0);
  expect((await findModelKey(commandIo().io, keychain.open)).secrets).toEqual({ ANTHROPIC_API_KEY: KEY });
});

test("a kept key counts for who asks which models there are, and is taken by who tries one", async () => {
  const keychain = memoryKeychain();
  await configKeySet({ provider: "anthropic" }, commandIo(`${KEY}\n`).io, keychain.open);
  const opened = keychain.opened();
  const listing = commandIo();
  await modelList({}, listing.io);
  expect(listing.out()).toMatch(/^anthropic:claude-[\w-]+ +yes +the default; has a key in the keychain$/m);
  expect(listing.out()).not.toContain("hush");
  const looking = commandIo();
  await doctor({ offline: true }, looking.io);
  expect(looking.out()).toMatch(/^ok +model +anthropic:/m);
  expect(keychain.opened()).toBe(opened);

  await using model = await startScriptedModel({
    scenario: { name: "m", scenarios: [{ name: "a", turns: [{ text: "ready" }] }] },
  });
  const trying = commandIo("", { ANTHROPIC_BASE_URL: model.url });
  expect(await modelTest({}, trying.io, keychain.open)).toBe(0);
  expect(model.requests).toHaveLength(1);
  expect(keychain.opened()).toBe(opened + 1);
  expect(trying.out()).toMatch(/answered in/);
  const { open } = memoryKeychain("no bus");
  await expect(modelTest({}, commandIo().io, open)).rejects.toThrow(/^The keychain can't be used/);
});

test("where no keychain can be reached, one line says what to do, and nothing is written", async () => {
  const { open } = memoryKeychain("no bus");
  const line = /^The keychain can't be used, the Secret Service \(no bus\): start one .*Nothing was written\.$/;
  await expect(configKeySet({ provider: "anthropic" }, commandIo(KEY).io, open)).rejects.toMatchObject({
    code: "failed",
    message: expect.stringMatching(line),
  });
  expect(readdirSync(home)).toEqual([]);
  writeFileSync(file, "llm: { keychain: [anthropic] }\n");
  const { secrets, note } = await findModelKey(commandIo().io, open);
  expect(secrets).toEqual({});
  expect(note).toMatch(/^The keychain can't be used.*\nRuns will fail until there is a model\./);
  await expect(configKeyUnset({ provider: "anthropic" }, commandIo().io, open)).rejects.toThrow(line);
  expect(await listed()).toBe('["anthropic"]\n');
});

test("a key that the keychain lost is told", async () => {
  writeFileSync(file, "llm: { keychain: [openai] }\n");
  const { note } = await findModelKey(commandIo().io, memoryKeychain().open);
  expect(note).toMatch(
    /^The keychain has no key of openai any more: `stigmer config key set openai` keeps it anew\.\n/,
  );
});

test("what is no key, and a file that can't be edited, leave the keychain as it is", async () => {
  const keychain = memoryKeychain();
  for (const [given, says] of [
    [" \n", /^No key was given/],
    [`${KEY}\nmore`, /^A key has no blanks/],
  ] as const) {
    const set = configKeySet({ provider: "anthropic" }, commandIo(given).io, keychain.open);
    await expect(set).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(says) });
  }
  writeFileSync(file, "llm:\n  modle: m\n");
  await expect(configKeySet({ provider: "anthropic" }, commandIo(KEY).io, keychain.open)).rejects.toThrow(
    /config\.yaml:2:3: llm\.modle/,
  );
  expect(keychain.keys.size).toBe(0);
  expect(keychain.opened()).toBe(2);
});

test("a provider without keys is refused", async () => {
  const { code, err } = await startCli(["config", "key", "set", "ollama"], { env: { STIGMER_HOME: home } }).done;
  expect(code).toBe(2);
  expect(err).toMatch(/Allowed choices are anthropic, openai\./);
});
