import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
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

test("what every start loads is the declaration of the commands alone", async () => {
  const loaded = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const text = await readFile(join(import.meta.dirname, file), "utf8");
    for (const [, specifier = ""] of text.matchAll(/^(?:import|export) (?!type ).*? from "([^"]+)";$/gms)) {
      if (specifier.startsWith("./")) await visit(specifier.slice(2));
      else loaded.add(specifier);
    }
  };
  await visit("main.ts");
  expect([...loaded].toSorted()).toEqual(
    [
      "commander",
      "errors.ts",
      "main.ts",
      "node:fs",
      "node:path",
      "parse-span.ts",
      "program-approvals.ts",
      "program-audit.ts",
      "program-backup.ts",
      "program-chaos.ts",
      "program-config.ts",
      "program-daemon.ts",
      "program-keys.ts",
      "program-models.ts",
      "program-new.ts",
      "program-options.ts",
      "program-resources.ts",
      "program-runner.ts",
      "program-runs.ts",
      "program-skills.ts",
      "program.ts",
      "run-cli.ts",
      "version.ts",
    ].toSorted(),
  );
});
