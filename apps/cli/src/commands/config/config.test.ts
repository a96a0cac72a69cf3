import { execFile } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";

let home: string;
let file: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stigmer-config-cli-"));
  file = join(home, "config.yaml");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const config = (args: readonly string[], env: Record<string, string> = {}): Promise<object> =>
  startCli(["config", ...args], { env: { STIGMER_HOME: home, ...env } }).done;
const done = (out = ""): object => ({ code: 0, out, err: "" });

test("what is set is there, for this user's eyes, and is gone when it is unset", async () => {
  expect(await config(["path"])).toEqual(done(`${file}\n`));
  expect(await config(["set", "llm.model", "claude-opus-4-5"])).toEqual(done());
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(await config(["get", "llm.model"])).toEqual(done("claude-opus-4-5\n"));
  expect(await config(["get", "llm"])).toEqual(done("model: claude-opus-4-5\n"));
  expect(await config(["get", "llm", "--json"])).toEqual(done('{"model":"claude-opus-4-5"}\n'));
  expect(await config(["unset", "llm.model"])).toEqual(done());
  expect(await config(["get", "llm.model"])).toEqual({
    code: 1,
    out: "",
    err: `llm.model is not set in ${file}: set it with \`stigmer config set llm.model VALUE\`.\n`,
  });
  expect(await config(["unset", "llm.model"])).toEqual(done());
  expect(readdirSync(home).filter((name) => name !== "run")).toEqual(["config.yaml"]);
});

test("the list shows every setting, and what goes before it", async () => {
  writeFileSync(file, "llm:\n  model: m\n  prices:\n    a.b: { input: 1, output: 2 }\n");
  expect(await config(["list", "--json"])).toEqual(done('{"llm.model":"m","llm.prices.a.b":{"input":1,"output":2}}\n'));
  const { out } = (await config(["list"], { STIGMER_LLM_MODEL: "other" })) as { out: string };
  expect(out).toMatch(/^llm\.provider +- +The provider of the default model\.$/m);
  expect(out).toMatch(/^llm\.model +m +STIGMER_LLM_MODEL goes before it: other$/m);
  expect(out).toMatch(/^llm\.prices\.a\.b +\{"input":1,"output":2\} +What models cost/m);
  expect(await config(["set", "llm.model", "n"], { STIGMER_LLM_MODEL: "other" })).toEqual({
    code: 0,
    out: "",
    err: "STIGMER_LLM_MODEL is set here, and goes before it.\n",
  });
});

test("a link to the file stays one", async () => {
  const dotfiles = join(home, "dotfiles.yaml");
  writeFileSync(dotfiles, "# linked\nllm: { model: m }\n");
  symlinkSync(dotfiles, file);
  expect(await config(["set", "llm.model", "n"])).toEqual(done());
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(readFileSync(dotfiles, "utf8")).toBe("# linked\nllm: { model: n }\n");
});

test.each([
  [["set", "llm.modle", "m"], 2, "llm.modle: there is no such field: did you mean model?\n"],
  [["get", "modle"], 2, "modle: there is no such field: there is llm\n"],
  [["unset", "llm.modle"], 2, "llm.modle: there is no such field: did you mean model?\n"],
  [
    ["set", "llm.apiKey", "hush"],
    2,
    /^llm\.apiKey: secrets don't belong in this file: [^\n]*ANTHROPIC_API_KEY[^\n]*\n$/,
  ],
  [["set", "llm.provider", "bedrock"], 1, /^llm\.provider: Invalid option: [^\n]*"ollama"\n$/],
  [["set", "llm.model"], 2, /^missing required argument 'value'\. See `stigmer config set --help`\.\n$/],
])("%j is refused in one line, and changes nothing", async (args, code, says) => {
  writeFileSync(file, "llm: { maxTokens: 9 }\n");
  const result = (await config(args)) as { code: number; out: string; err: string };
  expect(result).toMatchObject({ code, out: "" });
  expect(result.err).toMatch(says);
  expect(readFileSync(file, "utf8")).toBe("llm: { maxTokens: 9 }\n");
});

test("a file that is wrong is told with the place, and can be mended", async () => {
  writeFileSync(file, "llm:\n  modle: m\n");
  const wrong = { code: 1, out: "", err: `${file}:2:3: llm.modle: there is no such field: did you mean model?\n` };
  expect(await config(["get", "llm.model"])).toEqual(wrong);
  expect(await config(["list"])).toEqual(wrong);
  expect(await config(["set", "llm.model", "m"])).toEqual(wrong);
  expect(await config(["unset", "llm.modle"])).toEqual(done());
  expect(await config(["set", "llm.model", "m"])).toEqual(done());
});

test("a home that can't be written is told in one line", async () => {
  const env = { STIGMER_HOME: join(file, "home") };
  writeFileSync(file, "");
  expect(await config(["set", "llm.model", "m"], env)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^Cannot write to .*home: [^\n]*STIGMER_HOME\.\n$/),
  });
  mkdirSync(join(home, "other/config.yaml"), { recursive: true });
  expect(await config(["get", "llm.model"], { STIGMER_HOME: join(home, "other") })).toMatchObject({
    code: 1,
    err: expect.stringMatching(/config\.yaml can't be read \(EISDIR\)/),
  });
});

test("commands at once lose nothing of each other", { timeout: 60_000 }, async () => {
  const main = join(import.meta.dirname, "../../main.ts");
  const set = (key: string, value: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const env = {
        PATH: process.env["PATH"],
        NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
        STIGMER_HOME: home,
      };
      const args = ["--conditions=@stigmer/source", main, "config", "set", key, value];
      execFile(process.execPath, args, { env }, (error, out, err) => (error ? reject(error) : resolve(out + err)));
    });
  const said = await Promise.all([
    set("llm.model", "m"),
    set("llm.provider", "openai"),
    set("llm.maxTokens", "7"),
    set("llm.temperature", "1"),
  ]);
  expect(said.join("")).toBe("");
  expect(await config(["get", "llm", "--json"])).toMatchObject({ code: 0 });
  const { out } = (await config(["get", "llm", "--json"])) as { out: string };
  expect(JSON.parse(out)).toEqual({ model: "m", provider: "openai", maxTokens: 7, temperature: 1 });
});
