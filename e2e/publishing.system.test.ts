import { glob, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { freePorts } from "./free-ports.ts";
import { runGuide, type RanBlock } from "./guide-commands.ts";
import { nodeOfVersion } from "./publishing/node-version.ts";
import { startRegistry, type Registry } from "./publishing/registry.ts";
import { run } from "./publishing/run.ts";
import { wrongTurns } from "./publishing/wrong-turns.ts";
import { makeHome, processesOf, repository, stigmer } from "./stigmer.ts";
import { startTemporal } from "./temporal.ts";

// What strangers get: every package is built, packed and published, as a release does it, to a registry of this test's own, and
// `@stigmer/cli` is installed from there for all of a machine's users, by someone who has nothing else of ours. It is used without our
// condition and without the checkout, under the oldest Node that we promise and under the one that we develop with.

const cli = JSON.parse(await readFile(join(repository, "apps/cli/package.json"), "utf8")) as {
  version: string;
  engines: { node: string };
};
const OLDEST = `${cli.engines.node.replace(">=", "")}.0`;

/** The page that leads from nothing to a finished run: its first step is how everything here is installed, the others are a test. */
const PAGE = await (async () => {
  const text = await readFile(join(repository, "docs/getting-started.md"), "utf8");
  const [before, installing, fromDemo, fromStart] = text.split(/^(?=## [124]\. )/m);
  if (fromStart === undefined) throw new Error("docs/getting-started.md has other steps than this test thinks");
  return { installing: `${before}${installing}`, fromDemo, fromStart };
})();

let folder: string;
let registry: Registry;
/** The folders of `node`, by version. */
const nodes = new Map<string, string>([[process.version, dirname(process.execPath)]]);
/** Of the global installation. */
let prefix: string;
/** Where npm put the CLI's own dependencies. */
let modules: string;
/** A project of someone who uses all of our libraries. */
let project: string;

const within = (...names: string[]): string => join(folder, ...names);
const pathOf = (version: string): string[] => [join(prefix, "bin"), nodes.get(version) ?? "no such node"];
const environmentOf = (version: string, home: string): Record<string, string> => ({
  PATH: [...pathOf(version), "/usr/bin", "/bin"].join(":"),
  HOME: home,
  TMPDIR: home,
});

/** Of someone who has never used npm, and whose npm runs no scripts of packages, as that of version 12 does. */
const npmEnvironment = (): Record<string, string> => ({
  HOME: within("home"),
  npm_config_cache: within("home/.npm"),
  npm_config_ignore_scripts: "true",
  ...registry.env,
});

/** A reader's commands, in the shell of someone who has nothing but npm, and has it install below `prefix`. */
async function follow(page: string, home: string, env: Readonly<Record<string, string>> = {}): Promise<RanBlock[]> {
  await mkdir(home, { recursive: true });
  const guide = join(home, "page.md");
  await writeFile(guide, page);
  const shell = { ...npmEnvironment(), HOME: home, TMPDIR: home, npm_config_prefix: prefix };
  return runGuide({ guide, path: pathOf(`v${OLDEST}`), platform: { home, modelEnv: {} }, env: { ...shell, ...env } });
}

async function installLibraries(): Promise<void> {
  project = within("project");
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
  // As their READMEs say, in one command.
  const readmes = await Array.fromAsync(glob("packages/*/README.md", { cwd: repository }));
  const texts = await Promise.all(readmes.map((readme) => readFile(join(repository, readme), "utf8")));
  const told = texts.flatMap((text) => [...text.matchAll(/^npm install (?:--save-dev )?(?<what>.+)$/gm)]);
  const what = told.map(({ groups }) => groups?.["what"]).join(" ");
  const command = `npm install ${what} @stigmer/agent-runner @types/node@~${OLDEST}`;
  await run("bash", ["-c", command], { cwd: project, env: npmEnvironment() });
}

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "stigmer-published-")));
  prefix = within("prefix");
  modules = join(prefix, "lib/node_modules/@stigmer/cli/node_modules");
  const oldest = nodeOfVersion(OLDEST).then((bin) => nodes.set(`v${OLDEST}`, bin));
  await run(join(repository, "node_modules/.bin/turbo"), ["run", "build", "--filter=!@stigmer/docs"]);
  registry = await startRegistry(within("registry"));
  await run(process.execPath, ["tools/publish.ts", "--registry", registry.url], { env: registry.env });
  await mkdir(within("home"));
  await oldest;
  await Promise.all([follow(PAGE.installing, within("home")), installLibraries()]);
}, 900_000);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

it.concurrent("publishes nothing twice", { timeout: 120_000 }, async () => {
  const said = await run(process.execPath, ["tools/publish.ts", "--registry", registry.url], { env: registry.env });
  expect(said).toMatch(/^0 published, 1\d there already$/m);
});

describe.concurrent.each([`v${OLDEST}`, process.version])(
  "@stigmer/cli, installed by npm, under Node %s",
  (version) => {
    it("knows its version", async () => {
      const { stdout } = await execa("node", ["--version"], { env: environmentOf(version, folder), extendEnv: false });
      expect(stdout).toBe(version);
      const options = { program: ["stigmer"] as [string], env: environmentOf(version, folder) };
      expect(await stigmer(["--version"], options)).toEqual({ exitCode: 0, stdout: `${cli.version}\n`, stderr: "" });
    });

    it("plays its demo", { timeout: 180_000 }, async () => {
      const home = await mkdtemp(within(`demo-${version}-`));
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
  },
);

describe.concurrent("docs/getting-started.md", () => {
  it("leads from the installation to a finished run of one's own agent", { timeout: 300_000 }, async () => {
    const scenario = join(import.meta.dirname, "publishing/getting-started.yaml");
    await using model = await startScriptedModel({ scenario });
    const home = within("reader");
    // What a reader does in step 3, between: theirs is a key of a provider's.
    const choice = `\`\`\`sh\nexport ANTHROPIC_API_KEY=any ANTHROPIC_BASE_URL=${model.url}\n\`\`\`\n`;
    const ran = await follow(`${PAGE.fromDemo}${choice}${PAGE.fromStart}`, home, { STIGMER_PORT: "0" });
    expect(ran.length).toBeGreaterThan(10);
    expect(await readFile(join(home, "guide/notes/digest.md"), "utf8")).toContain("(monday, tuesday)");
    expect(model.requests.length).toBeGreaterThan(3);
    expect(await processesOf(home)).toEqual([]);
  });

  it("leaves nobody alone who goes wrong on the way", { timeout: 300_000 }, async () => {
    const refuses = {
      name: "refuses",
      scenarios: [{ name: "any", turns: [{ error: { reason: "bad-key" as const } }] }],
    };
    await using model = await startScriptedModel({ scenario: refuses });
    await using home = await makeHome({ program: ["stigmer"], env: environmentOf(`v${OLDEST}`, folder) });
    const files = join(home.home, "notes");
    await mkdir(files);
    // The model's port will do as one that is taken.
    for (const { args, env, says, code = 1 } of wrongTurns(model.url, Number(new URL(model.url).port))) {
      const { exitCode, stdout, stderr } = await home.stigmer(args, { cwd: files, ...(env && { env }) });
      expect(stdout + stderr, args.join(" ")).toMatch(says);
      expect(exitCode, args.join(" ")).toBe(code);
    }
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
  const place = await mkdtemp(within("schemas-"));
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

  /** The manifest of a package that is there. */
  async function installed(
    name: string,
  ): Promise<{ name: string; version: string; exports?: Record<string, string | object> }> {
    return JSON.parse(await readFile(join(project, "node_modules", name, "package.json"), "utf8")) as never;
  }

  /** Compiles these files as a project that has its own settings. */
  async function compile(name: string, options: object, files: readonly string[]): Promise<void> {
    const compilerOptions = { module: "nodenext", target: "es2023", strict: true, types: ["node"], ...options };
    await writeFile(join(project, `${name}.json`), JSON.stringify({ compilerOptions, files }));
    await run(join(repository, "node_modules/.bin/tsc"), ["-p", `${name}.json`], { cwd: project });
  }

  it("work in TypeScript, and their types hold for the strictest compiler", { timeout: 120_000 }, async () => {
    await writeFile(join(project, "program.ts"), PROGRAM);
    const strictest = { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, verbatimModuleSyntax: true };
    await compile("program", { ...strictest, skipLibCheck: false, outDir: "out" }, ["program.ts"]);
    for (const version of nodes.keys()) {
      const said = await run("node", ["out/program.js"], { cwd: project, env: environmentOf(version, folder) });
      expect(JSON.parse(said)).toEqual(EXPECTED);
    }
  });

  it("have declarations that hold with the types of every Node", { timeout: 240_000 }, async () => {
    const own = (await readdir(join(project, "node_modules/@stigmer"))).map((name) => `@stigmer/${name}`);
    const manifests = await Promise.all(own.map(installed));
    const modules = manifests.flatMap(({ name, exports = {} }) =>
      Object.entries(exports).flatMap(([path, target]) =>
        typeof target === "object" && "types" in target ? [name + path.slice(1)] : [],
      ),
    );
    expect(modules.length).toBeGreaterThan(40);
    const lines = modules.map((module, at) => `export * as module${at} from "${module}";\n`);
    await writeFile(join(project, "everything.ts"), lines.join(""));
    for (const version of nodes.keys()) {
      const [major = ""] = version.slice(1).split(".");
      await run("npm", ["install", `@types/node@${major}`], { cwd: project, env: npmEnvironment() });
      const types = JSON.parse(
        await readFile(join(project, "node_modules/@types/node/package.json"), "utf8"),
      ) as object;
      expect(types).toMatchObject({ version: expect.stringMatching(`^${major}\\.`) as string });
      await compile("everything", { skipLibCheck: false, noEmit: true }, ["everything.ts"]);
    }
  });
});

describe.concurrent("@stigmer/agent-runner by itself, as its README says", () => {
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
    const home = await mkdtemp(within(`runner-${engine}-`));
    // Installed already, so that `npx` fetches nothing.
    await writeFile(join(home, "package.json"), JSON.stringify({ private: true }));
    await symlink(modules, join(home, "node_modules"));
    try {
      const guide = join(home, "README.md");
      const agent = /^```yaml title="greeter.yaml"\n.*?^```\n/ms.exec(quickStart)?.[0] ?? "";
      // On a terminal, `kill %2` is for the whole job: for npx, and for the runner that it started.
      const terminal = "```sh\nset -m\n```\n";
      await writeFile(guide, terminal + (temporal === undefined ? quickStart : agent + overTemporal));
      const port = String(await freePorts());
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
      // The shell waits for npx, which does not wait for the runner that the same signal ends.
      await vi.waitFor(async () => expect(await processesOf(home)).toEqual([]), { timeout: 10_000 });
    } finally {
      // A test that failed must not leave its processes to the next one.
      for (const line of await processesOf(home)) process.kill(Number.parseInt(line, 10), "SIGKILL");
      await temporal?.dispose();
    }
  });
});
