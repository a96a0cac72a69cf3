import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Ground, agentYaml } from "./ground.ts";

const keptKey = "sk-canary-of-the-keychain";

/** Commands that need no server: files, settings, help. */
export function testFilesAndSettings(ground: () => Ground): void {
  it.concurrent("new, validate", async () => {
    const { cli, folder } = ground();
    const cwd = await folder({ "bad.yaml": "kind: Agent\n" });
    await cli.works(["new", "agent", "helper"], { cwd, prints: "helper.yaml is made" });
    await cli.fails(["new", "agent", "helper"], { cwd, says: "helper.yaml" });
    await cli.works(["new", "skill", "haiku"], { cwd, prints: "haiku/SKILL.md is made" });
    await cli.fails(["new", "skill", "Not A Name"], { cwd, exitCode: 2, says: /lower-case/ });
    await cli.works(["validate", "-f", "helper.yaml"], { cwd, prints: "helper.yaml:2: Agent helper is valid\n" });
    await cli.fails(["validate", "-f", "bad.yaml"], { cwd, says: /^bad\.yaml:1:1: apiVersion: is missing/ });
    await cli.works(["skill", "lint", "haiku"], { cwd, prints: "", tells: "1 skill: 0 errors, 0 warnings" });
    await cli.fails(["skill", "lint", "nowhere"], { cwd, says: "nowhere" });
  });

  it.concurrent("config", async () => {
    const { cli, folder } = ground();
    const env = { STIGMER_HOME: await folder() };
    const file = join(env.STIGMER_HOME, "config.yaml");
    await cli.works(["config", "path"], { env, prints: `${file}\n` });
    await cli.fails(["config", "path", "--json"], { env, exitCode: 2, says: "`stigmer config path --help`" });
    await cli.works(["config", "set", "llm.model", "claude-haiku-4-5"], { env, prints: /^$/ });
    expect(await readFile(file, "utf8")).toContain("model: claude-haiku-4-5");
    await cli.fails(["config", "set", "llm.modle", "x"], { env, exitCode: 2, says: "did you mean model?" });
    await cli.works(["config", "get", "llm.model"], { env, prints: /^claude-haiku-4-5\n$/ });
    await cli.works(["config", "list", "--json"], { env, prints: '"claude-haiku-4-5"' });
    await cli.fails(["config", "list", "-o"], { env, exitCode: 2, says: "'-o'" });
    await cli.works(["config", "unset", "llm.model"], { env, prints: /^$/ });
    expect(await readFile(file, "utf8")).not.toContain("claude-haiku-4-5");
    await cli.fails(["config", "get", "llm.modle"], { env, exitCode: 2, says: "did you mean model?" });
    await cli.fails(["config", "unset", "llm.modle"], { env, exitCode: 2, says: "did you mean model?" });
  });

  it.concurrent("config key, in a real keychain and where there is none", async () => {
    const { cli, folder } = ground();
    const STIGMER_HOME = await folder();
    const env = { STIGMER_HOME, DBUS_SESSION_BUS_ADDRESS: process.env["STIGMER_TEST_SECRET_SERVICE"] ?? "" };
    const nowhere = { STIGMER_HOME, DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(STIGMER_HOME, "no-bus")}` };
    const set = ["config", "key", "set", "openai"];
    await cli.fails(set, { env: nowhere, stdin: keptKey, says: /^The keychain can't be used, .* ANTHROPIC_API_KEY/ });
    expect(await readdir(STIGMER_HOME)).toEqual([]);
    await cli.works(set, { env, stdin: keptKey, prints: /^$/, tells: "The key of openai is in the keychain" });
    await cli.works(["config", "key", "list"], { env, prints: /^openai\n$/ });
    await cli.fails(["config", "key", "list", "openai"], { env, exitCode: 2, says: "too many arguments" });
    const daemon = ["local", "start", "--port", "0"];
    await cli.works(daemon, { env, prints: "Agent-runner started", tells: "OPENAI_API_KEY from the keychain." });
    await cli.works(["local", "stop"], { env, prints: "Stopped" });
    for (const entry of await readdir(STIGMER_HOME, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      expect(await readFile(path, "latin1"), path).not.toContain(keptKey);
    }
    await cli.fails(["config", "key", "unset", "openai"], { env: nowhere, says: /^The keychain can't be used/ });
    await cli.works(["config", "key", "unset", "openai"], { env, prints: /^$/, tells: "in the keychain no more" });
    await cli.works(["config", "key", "list", "--json"], { env, prints: "[]\n" });
  });

  it.concurrent("version, help, completion", async () => {
    const { cli } = ground();
    await cli.works(["version"], { prints: /^\d+\.\d+\.\d+\S*\n$/ });
    await cli.fails(["version", "--long"], { exitCode: 2, says: "'--long'" });
    await cli.works(["help", "exit-codes"], { prints: "2   wrong usage" });
    await cli.works(["help", "execution", "get"], { prints: "Usage: stigmer execution get" });
    await cli.fails(["help", "aply"], { exitCode: 2, says: "aply" });
    for (const shell of ["bash", "zsh", "fish"]) {
      await cli.works(["completion", shell], { prints: "internal complete" });
      await cli.fails(["completion", shell, "--install"], { exitCode: 2, says: "'--install'" });
    }
  });

  it.concurrent("doctor", async () => {
    const { cli, folder } = ground();
    const env = { STIGMER_HOME: await folder({ "config.yaml": "llm: { provider: bedrock }\n" }) };
    await cli.works(["doctor", "--offline"], { prints: /^ok +daemon +PID \d+ serves/m });
    await cli.works(["doctor", "--offline"], { env, exitCode: 1, prints: /^fail +settings .*config\.yaml/m });
    await cli.fails(["doctor", "--fix"], { env, exitCode: 2, says: "'--fix'" });
  });

  it.concurrent("chaos run", async () => {
    const { cli, folder } = ground();
    const cwd = await folder({
      "agent.yaml": agentYaml("survivor"),
      "scenario.yaml": "name: s\nscenarios: [{ name: s, turns: [{ text: Good day. }] }]\n",
    });
    const once = ["--scenario", "scenario.yaml", "--points", "1", "--victims", "runner"];
    await cli.works(["chaos", "run", "agent.yaml", "Hello", ...once], {
      cwd,
      prints: "1 repetitions ended as the undisturbed run.",
    });
    await cli.fails(["chaos", "run", "nowhere.yaml", "Hello", ...once], { cwd, says: "nowhere.yaml" });
  });

  it.concurrent("demo", async () => {
    const { cli, folder } = ground();
    const TMPDIR = await folder();
    const env = { HOME: TMPDIR, STIGMER_HOME: join(TMPDIR, "home"), TMPDIR };
    await cli.works(["demo"], { env, prints: /^Changes: src\/discount\.js$/m });
    await cli.fails(["demo", "--fast"], { env, exitCode: 2, says: "'--fast'" });
  });
}
