import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runGuide } from "./guide-commands.ts";
import { nodeOfVersion } from "./publishing/node-version.ts";
import { startRegistry, type Registry } from "./publishing/registry.ts";
import { run } from "./publishing/run.ts";
import { makeHome, processesOf, repository, stigmer } from "./stigmer.ts";
import { freePort, startTemporal } from "./temporal.ts";

// What strangers get: every package is built, packed and published, as a release does it, to a registry of this test's own, and
// `@stigmer/cli` is installed from there for all of a machine's users, by someone who has nothing else of ours. It is used without our
// condition and without the checkout, under the oldest Node that we promise and under the one that we develop with.

const cli = JSON.parse(await readFile(join(repository, "apps/cli/package.json"), "utf8")) as {
  version: string;
  engines: { node: string };
};
const OLDEST = `${cli.engines.node.replace(">=", "")}.0`;

let folder: string;
let registry: Registry;
/** The folders of `node`, by version. */
const nodes = new Map<string, string>([[process.version, dirname(process.execPath)]]);
/** Of the global installation. */
let prefix: string;
/** Where npm put the CLI's own dependencies. */
let modules: string;

const within = (...names: string[]): string => join(folder, ...names);
const pathOf = (version: string): string[] => [join(prefix, "bin"), nodes.get(version) ?? "no such node"];
const environmentOf = (version: string, home: string): Record<string, string> => ({
  PATH: [...pathOf(version), "/usr/bin", "/bin"].join(":"),
  HOME: home,
  TMPDIR: home,
});

/** Of someone who has never used npm. */
const npmEnvironment = (): Record<string, string> => ({
  HOME: within("home"),
  npm_config_cache: within("home/.npm"),
  ...registry.env,
});

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "stigmer-published-")));
  prefix = within("prefix");
  modules = join(prefix, "lib/node_modules/@stigmer/cli/node_modules");
  const oldest = nodeOfVersion(OLDEST).then((bin) => nodes.set(`v${OLDEST}`, bin));
  await run(join(repository, "node_modules/.bin/turbo"), ["run", "build"]);
  registry = await startRegistry(within("registry"));
  await run(process.execPath, ["tools/publish.ts", "--registry", registry.url], { env: registry.env });
  await mkdir(within("home"));
  await run("npm", ["install", "--global", "--prefix", prefix, "@stigmer/cli"], {
    cwd: within("home"),
    env: npmEnvironment(),
  });
  await oldest;
}, 900_000);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

it("publishes nothing twice", { timeout: 120_000 }, async () => {
  const said = await run(process.execPath, ["tools/publish.ts", "--registry", registry.url], { env: registry.env });
  expect(said).toMatch(/^0 published, 1\d there already$/m);
});

describe.each([`v${OLDEST}`, process.version])("@stigmer/cli, installed by npm, under Node %s", (version) => {
  it("knows its version", async () => {
    const { stdout } = await execa("node", ["--version"], { env: environmentOf(version, folder), extendEnv: false });
    expect(stdout).toBe(version);
    const options = { program: ["stigmer"] as [string], env: environmentOf(version, folder) };
    expect(await stigmer(["--version"], options)).toEqual({ exitCode: 0, stdout: `${cli.version}\n`, stderr: "" });
  });

  it("plays its demo", { timeout: 180_000 }, async () => {
    const home = within(`demo-${version}`);
    await mkdir(home);
    const result = await stigmer(["demo"], { program: ["stigmer"], cwd: home, env: environmentOf(version, home) });
    expect(result, result.stdout + result.stderr).toMatchObject({ exitCode: 0, stderr: "" });
    expect(result.stdout).toMatch(/^completed in .* tokens/m);
    const report = /^Report: (\/.+)$/m.exec(result.stdout)?.[1] ?? "";
    expect(await readFile(report, "utf8")).toContain("# Fix");
    expect(await processesOf(home)).toEqual([]);
  });

  it("keeps a daemon", { timeout: 120_000 }, async () => {
    await using home = await makeHome({ program: ["stigmer"], env: environmentOf(version, folder) });
    const started = await home.stigmer(["local", "start", "--port", "0"]);
    expect(started, started.stderr).toMatchObject({ exitCode: 0 });
    expect(started.stderr).not.toContain("Warning");
    expect(await home.status()).toMatchObject({
      running: true,
      processes: [{ state: "running" }, { state: "running" }],
    });
    // From its own files alone.
    for (const line of await processesOf(home.home)) {
      expect(line).toContain(`${prefix}/`);
      expect(line).not.toMatch(/@stigmer\/source|\.ts\b/);
    }
    expect(await home.stigmer(["get", "agents", "-o", "json"])).toMatchObject({ exitCode: 0, stdout: "[]\n" });
    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    expect(await processesOf(home.home)).toEqual([]);
  });
});

it("brings every one of our packages once, without type stripping to be done", async () => {
  const installed = await readdir(join(modules, "@stigmer"));
  expect(installed).toContain("agent-runner");
  for (const name of installed) {
    const own = join(modules, "@stigmer", name);
    expect(await realpath(own)).toBe(own);
    expect(await readdir(own)).toContain("dist");
    expect(await readdir(join(own, "node_modules", "@stigmer")).catch(() => "none")).toBe("none");
  }
});

it("says what a manifest may be, in JSON Schemas that other packages find", async () => {
  const place = within("schemas");
  await mkdir(place);
  await symlink(modules, join(place, "node_modules"));
  const program = `
    import manifest from "@stigmer/protos/schemas/manifest.json" with { type: "json" };
    import agent from "@stigmer/protos/schemas/agent.json" with { type: "json" };
    import config from "@stigmer/config/config.schema.json" with { type: "json" };
    import scenario from "@stigmer/scripted-model/scenario.schema.json" with { type: "json" };
    console.log([manifest, agent, config, scenario].every((schema) => schema.$schema.includes("json-schema.org")));`;
  await writeFile(join(place, "read.mjs"), program);
  for (const version of nodes.keys()) {
    expect(await run("node", ["read.mjs"], { cwd: place, env: environmentOf(version, folder) })).toBe("true");
  }
});

describe("the libraries, in a project of their own", () => {
  let project: string;

  beforeAll(async () => {
    project = within("project");
    await mkdir(project);
    await writeFile(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
    await run("npm", ["install", "@stigmer/sandbox", "@stigmer/client", `@types/node@~${OLDEST}`], {
      cwd: project,
      env: npmEnvironment(),
    });
  }, 300_000);

  const PROGRAM = `
import { createSandbox } from "@stigmer/sandbox";
import { ClientError, createClient } from "@stigmer/client";

const sandbox = await createSandbox({ type: "filesystem", rootDir: "work" });
const { stdout, exitCode } = await sandbox.execute("echo made by $0 && exit 3");
await sandbox.dispose();

// Nobody listens there.
const client = createClient({ endpoint: "127.0.0.1:9", apiKey: "any" });
const error = await client.agents.get("greeter").catch((reason: unknown) => reason);
client[Symbol.dispose]();
if (!ClientError.is(error)) throw error;
console.log(JSON.stringify({ stdout, exitCode, code: error.code, retryable: error.retryable }));
`;
  const EXPECTED = {
    stdout: expect.stringMatching(/^made by .*sh\n$/),
    exitCode: 3,
    code: "unavailable",
    retryable: true,
  };

  it("work in JavaScript", { timeout: 120_000 }, async () => {
    await writeFile(join(project, "program.js"), PROGRAM.replace(": unknown", ""));
    for (const version of nodes.keys()) {
      const said = await run("node", ["program.js"], { cwd: project, env: environmentOf(version, folder) });
      expect(JSON.parse(said)).toEqual(EXPECTED);
    }
  });

  it("work in TypeScript, and their types hold for the strictest compiler", { timeout: 120_000 }, async () => {
    await writeFile(join(project, "program.ts"), PROGRAM);
    const compilerOptions = {
      module: "nodenext",
      target: "es2023",
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      skipLibCheck: false,
      types: ["node"],
      outDir: "out",
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
    await run(join(repository, "node_modules/.bin/tsc"), ["-p", project]);
    for (const version of nodes.keys()) {
      const said = await run("node", ["out/program.js"], { cwd: project, env: environmentOf(version, folder) });
      expect(JSON.parse(said)).toEqual(EXPECTED);
    }
  });
});

describe("@stigmer/agent-runner by itself, as its README says", () => {
  it.each([
    ["embedded", `v${OLDEST}`],
    ["temporal", process.version],
  ])("with the %s engine, under Node %s", { timeout: 300_000 }, async (engine, version) => {
    const readme = await readFile(join(repository, "apps/agent-runner/README.md"), "utf8");
    const [, quickStart = "", overTemporal = ""] =
      /^## Stand-alone quick start\n(.*?)^### Over Temporal\n(.*?)^### /ms.exec(readme) ?? [];
    await using model = await startScriptedModel({
      scenario: join(import.meta.dirname, "publishing/runner-readme.yaml"),
    });
    const temporal = engine === "temporal" ? await startTemporal() : undefined;
    const home = within(`runner-${engine}`);
    await mkdir(home);
    // Installed already, so that `npx` fetches nothing.
    await writeFile(join(home, "package.json"), JSON.stringify({ private: true }));
    await symlink(modules, join(home, "node_modules"));
    try {
      const guide = join(home, "README.md");
      const agent = /^```yaml title="greeter.yaml"\n.*?^```\n/ms.exec(quickStart)?.[0] ?? "";
      // On a terminal, `kill %2` is for the whole job: for npx, and for the runner that it started.
      const terminal = "```sh\nset -m\n```\n";
      await writeFile(guide, terminal + (temporal === undefined ? quickStart : agent + overTemporal));
      const port = String(await freePort());
      const ran = await runGuide({
        guide,
        path: pathOf(version),
        platform: { home, modelEnv: { ANTHROPIC_API_KEY: "scripted-model-key", ANTHROPIC_BASE_URL: model.url } },
        env: {
          ...registry.env,
          STIGMER_PORT: port,
          STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}`,
          ...(temporal && { TEMPORAL_SERVICE_ADDRESS: temporal.address }),
        },
      });
      expect(ran.length).toBeGreaterThan(0);
      expect(model.requests.length).toBeGreaterThan(0);
      for (const log of ["server.log", "runner.log"])
        expect(await readFile(join(home, "guide", log), "utf8")).not.toContain("Warning");
      expect(await processesOf(home)).toEqual([]);
    } finally {
      // A test that failed must not leave its processes to the next one.
      for (const line of await processesOf(home)) process.kill(Number.parseInt(line, 10), "SIGKILL");
      await temporal?.dispose();
    }
  });
});
