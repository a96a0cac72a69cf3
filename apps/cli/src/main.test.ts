import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const main = join(import.meta.dirname, "main.ts");
const checkout = resolve(import.meta.dirname, "../../..");

function stigmer(args: string[], { cwd, env }: { cwd: string; env?: Record<string, string> }): Promise<object> {
  return new Promise((done) => {
    const options = {
      cwd,
      env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"], ...env },
    };
    execFile(process.execPath, ["--conditions=@stigmer/source", main, ...args], options, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

let user: string;
beforeAll(async () => {
  user = await mkdtemp(join(tmpdir(), "stigmer-main-"));
  await writeFile(join(user, "bad.yaml"), "kind: Agnt\napiVersion: agentic.stigmer.ai/v1\n");
});
afterAll(() => rm(user, { recursive: true }));

const found = { code: 1, stdout: "", stderr: `bad.yaml:1:1: kind: "Agnt" can't be applied: did you mean Agent?\n` };
const missing = {
  code: 1,
  stdout: "",
  stderr: "bad.yaml: there is no such file or folder: name one that is there, or - for standard input\n",
};

test("paths are relative to where the user is, also through `pnpm stigmer`", { timeout: 120_000 }, async () => {
  const args = ["apply", "-f", "bad.yaml"];
  expect(await stigmer(args, { cwd: user })).toEqual(found);
  expect(await stigmer(args, { cwd: checkout, env: { INIT_CWD: user } })).toEqual(found);
  // A script of somebody else's package that runs `stigmer` means its own directory.
  expect(await stigmer(args, { cwd: tmpdir(), env: { INIT_CWD: user } })).toEqual(missing);
});

test("usage is exit code 2, and the version needs no configuration", async () => {
  expect(await stigmer(["frobnicate"], { cwd: user })).toMatchObject({ code: 2, stdout: "" });
  const env = { STIGMER_BACKEND_ENDPOINT: "not an address", STIGMER_HOME: "/nowhere" };
  expect(await stigmer(["--version"], { cwd: user, env })).toMatchObject({ code: 0, stderr: "" });
});

// Tells at the end which modules were loaded, those of Node itself left out.
const recorder = `
import { registerHooks } from "node:module";
import { writeFileSync } from "node:fs";
const loaded = new Set();
registerHooks({
  load(url, context, next) {
    if (!url.startsWith("node:")) loaded.add(url);
    return next(url, context);
  },
});
process.on("exit", () => writeFileSync(process.env.LOADED, JSON.stringify([...loaded])));
`;

/** The modules that a start loads: files relative to this folder, packages by their names. */
async function loadedBy(...args: string[]): Promise<string[]> {
  const list = join(user, "loaded.json");
  const preload = `data:text/javascript,${encodeURIComponent(recorder)}`;
  const options = { cwd: user, env: { PATH: process.env["PATH"], LOADED: list, STIGMER_HOME: join(user, "home") } };
  const flags = [`--import=${preload}`, "--conditions=@stigmer/source"];
  await promisify(execFile)(process.execPath, [...flags, main, ...args], options);
  const urls = JSON.parse(await readFile(list, "utf8")) as string[];
  const names = urls.map((url) => {
    const path = fileURLToPath(url);
    const [, name] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
    return name ?? relative(import.meta.dirname, path);
  });
  return [...new Set(names)].toSorted();
}

test("the version loads nothing but itself", async () => {
  for (const arg of ["--version", "-V", "version"]) expect(await loadedBy(arg)).toEqual(["main.ts", "version.ts"]);
});

test("what every other start loads is the declaration of the commands alone", async () => {
  const loaded = await loadedBy("--help");
  expect(loaded).toContain("program-runs.ts");
  expect(loaded.filter((name) => !/^program(-[a-z]+)?\.ts$/.test(name))).toEqual(
    [
      "../../../packages/config/src/node-process.ts",
      "commander",
      "errors.ts",
      "main.ts",
      "parse-span.ts",
      "run-cli.ts",
      "version.ts",
    ].toSorted(),
  );
});

test("the keychain's package is loaded by who uses it, and not by who has no key there", async () => {
  const loaded = await loadedBy("config", "key", "unset", "anthropic");
  expect(loaded).toContain("keychain/system-keychain.ts");
  expect(loaded).not.toContain("@napi-rs/keyring");
});
