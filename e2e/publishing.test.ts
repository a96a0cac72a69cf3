import { access, constants, cp, glob, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { run } from "./publishing/run.ts";
import { repository } from "./stigmer.ts";

// What releases rest on and only a release would show: the workflows, the fields of every package, and the plan of changesets.
// The packages themselves are looked at in tools/check-packages.ts, and published and installed in publishing.system.test.ts.

const read = (path: string): Promise<string> => readFile(join(repository, path), "utf8");

const manifestSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  private: z.boolean().optional(),
  files: z.array(z.string()).optional(),
  keywords: z.array(z.string()).default([]),
});
const paths = await Array.fromAsync(glob("{packages,apps}/*/package.json", { cwd: repository }));
const others = await Array.fromAsync(glob("*/package.json", { cwd: repository, exclude: ["node_modules"] }));
const everyManifest = await Promise.all(
  [...paths, ...others].map(async (path) => {
    const manifest = manifestSchema.parse(JSON.parse(await read(path)));
    return { ...manifest, directory: dirname(path) };
  }),
);
const published = everyManifest.filter((manifest) => !manifest.private);
const { scripts, packageManager } = z
  .object({ scripts: z.record(z.string(), z.string()), packageManager: z.string() })
  .parse(JSON.parse(await read("package.json")));

describe("package.json", () => {
  it("is that of every package", () => {
    expect(published.map(({ directory }) => directory).toSorted()).toEqual(paths.map(dirname).toSorted());
  });

  it.each(published)("of $name says what npm and people ask for", async (manifest) => {
    const { directory, name } = manifest;
    expect(name.replace("@stigmer/", "")).toBe(directory.replace(/^.*\//, ""));
    expect(manifest).toMatchObject({
      description: expect.stringMatching(/^.{20,}\.$/),
      license: "Apache-2.0",
      type: "module",
      homepage: `https://github.com/stigmer/stigmer/tree/main/${directory}#readme`,
      bugs: "https://github.com/stigmer/stigmer/issues",
      // npm compares it with the repository that the workflow runs in, and refuses another one's provenance.
      repository: { type: "git", url: "git+https://github.com/stigmer/stigmer.git", directory },
      publishConfig: { access: "public" },
      engines: { node: (JSON.parse(await read("package.json")) as { engines: { node: string } }).engines.node },
      keywords: expect.arrayContaining(["stigmer"]),
    });
    expect(new Set(manifest.keywords).size).toBe(manifest.keywords.length);
    expect(manifest.keywords.length).toBeGreaterThanOrEqual(4);
    const left = ["!src/**/*.test.ts", "!src/**/__fixtures__", "!src/**/__snapshots__"];
    expect(manifest.files).toEqual(expect.arrayContaining(["dist", "src", "CHANGELOG.md", ...left]));
    expect(await read(join(directory, "README.md"))).toMatch(new RegExp(`^# ${name}$`, "m"));
  });
});

describe("changesets", () => {
  const folders: string[] = [];
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

  it("gives all packages one new version, and what is private none", { timeout: 60_000 }, async () => {
    // In a repository with nothing but manifests, where each package has changed.
    const folder = await mkdtemp(join(tmpdir(), "stigmer-changesets-"));
    folders.push(folder);
    const copied = ["package.json", "pnpm-workspace.yaml", ".changeset/config.json"];
    for (const path of [...copied, ...everyManifest.map(({ directory }) => join(directory, "package.json"))])
      await cp(join(repository, path), join(folder, path));
    await symlink(join(repository, "node_modules"), join(folder, "node_modules"));
    const git = ["-c", "user.name=any", "-c", "user.email=any@localhost"];
    await run("git", ["init", "--quiet", "--initial-branch=main"], { cwd: folder });
    await run("git", ["add", "package.json", ".changeset"], { cwd: folder });
    await run("git", [...git, "commit", "--quiet", "--message", "any"], { cwd: folder });
    await writeFile(join(folder, ".changeset/any.md"), '---\n"@stigmer/status": minor\n---\n\nAny.\n');
    await run(join(repository, "node_modules/.bin/changeset"), ["status", "--output", "plan.json"], { cwd: folder });
    const plan = z
      .object({ releases: z.array(z.object({ name: z.string(), type: z.string(), newVersion: z.string() })) })
      .parse(JSON.parse(await readFile(join(folder, "plan.json"), "utf8")));
    const released = plan.releases.filter(({ type }) => type !== "none");
    expect(released.map(({ name }) => name).toSorted()).toEqual(published.map(({ name }) => name).toSorted());
    expect(new Set(released.map(({ newVersion }) => newVersion)).size).toBe(1);
  });

  it("name packages that are published, in every changeset there is", async () => {
    const names = new Set(published.map(({ name }) => name));
    for await (const path of glob(".changeset/*.md", { cwd: repository })) {
      const [, head = ""] = /^---\n(.*?)^---\n/ms.exec(await read(path)) ?? [];
      const bumps = z.record(z.string(), z.enum(["major", "minor", "patch"])).parse(parse(head) ?? {});
      for (const name of Object.keys(bumps)) expect(names, path).toContain(name);
    }
  });
});

const permissions = z.record(z.string(), z.enum(["read", "write", "none"]));
const step = z.strictObject({
  id: z.string().optional(),
  name: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});
const job = z.looseObject({
  needs: z.string().optional(),
  uses: z.string().optional(),
  "timeout-minutes": z.number().optional(),
  environment: z.string().optional(),
  permissions,
  steps: z.array(step).default([]),
});
const workflow = z.looseObject({ on: z.looseObject({}), permissions, jobs: z.record(z.string(), job) });

const files = (await Array.fromAsync(glob(".github/workflows/*", { cwd: repository }))).toSorted();
const workflows = await Promise.all(
  files.map(async (file) => {
    const text = await read(file);
    return { file, text, ...workflow.parse(parse(text)) };
  }),
);

describe("workflows", () => {
  it("are the two that there should be", () => {
    expect(files).toEqual([".github/workflows/ci.yml", ".github/workflows/release.yml"]);
  });

  describe.each(workflows)("$file", ({ text, on, permissions: granted, jobs }) => {
    it("pins all that is not of this repository to a commit, and says which release that is", () => {
      const uses = [...text.matchAll(/^\s*(?:- )?uses: (?<what>\S+)(?<comment>.*)$/gm)];
      const counted = Object.values(jobs).flatMap((each) => [each, ...each.steps].filter((part) => part.uses));
      expect(uses.length).toBe(counted.length);
      for (const { groups = {} } of uses.filter(({ groups }) => !groups?.["what"]?.startsWith("./"))) {
        expect(groups["what"]).toMatch(/^[\w-]+\/[\w-]+(\/[\w-]+)?@[0-9a-f]{40}$/);
        expect(groups["comment"]).toMatch(/^ # v\d+\.\d+\.\d+$/);
      }
    });

    it("grants nothing to all jobs, and no job more than it needs", () => {
      expect(granted).toEqual({});
      const may = Object.fromEntries(Object.entries(jobs).map(([name, each]) => [name, each.permissions]));
      for (const [name, each] of Object.entries(may)) {
        expect(each, name).toEqual(
          name === "publish"
            ? { contents: "write", "id-token": "write" }
            : name === "version"
              ? { contents: "write", "pull-requests": "write" }
              : { contents: "read" },
        );
      }
    });

    it("runs nothing that strangers can word, with rights or secrets of ours", () => {
      expect(Object.keys(on)).not.toContain("pull_request_target");
      expect(text).not.toMatch(/\bsecrets\b/);
      for (const { run: command = "" } of stepsOf(jobs)) expect(command).not.toContain("${{");
    });

    it("keeps no credentials in checkouts, takes no cache, and ends in time", () => {
      const optionsOf = (action: string): unknown[] =>
        stepsOf(jobs).flatMap((each) => (each.uses?.startsWith(`actions/${action}@`) ? [each.with] : []));
      expect(optionsOf("checkout").length).toBeGreaterThan(0);
      for (const each of optionsOf("checkout")) expect(each).toEqual({ "persist-credentials": false });
      const node = { "node-version": 24, "package-manager-cache": false };
      for (const each of optionsOf("setup-node")) expect(each).toEqual(node);
      const own = Object.values(jobs).filter(({ uses }) => uses === undefined);
      for (const each of own) expect(each["timeout-minutes"]).toBeGreaterThan(0);
    });

    it("calls what there is", async () => {
      const scriptsOfActions = stepsOf(jobs).map((each) => each.with?.["script"]);
      const commands = [...stepsOf(jobs).map((each) => each.run), ...scriptsOfActions].filter(
        (each) => each !== undefined,
      );
      expect(commands.length).toBeGreaterThan(0);
      for (const command of commands) expect(await problemOf(String(command)), String(command)).toBeUndefined();
      for (const { uses } of Object.values(jobs)) if (uses) await access(join(repository, uses));
    });
  });

  it("test what they publish, and publish only from `main` and the environment that npm trusts", () => {
    const release = workflows.find(({ file }) => file.endsWith("release.yml"));
    expect(release?.on).toEqual({ push: { branches: ["main"] } });
    const { ci, select, version, publish } = release?.jobs ?? {};
    expect(ci?.uses).toBe("./.github/workflows/ci.yml");
    expect([select?.needs, version?.needs, publish?.needs]).toEqual(["ci", "select", "select"]);
    expect(publish?.environment).toBe("npm");
    expect(scripts["release"]).toContain("tools/publish.ts --provenance");
  });
});

function stepsOf(jobs: Readonly<Record<string, z.infer<typeof job>>>): z.infer<typeof step>[] {
  return Object.values(jobs).flatMap(({ steps }) => steps);
}

/** What is wrong with a command of a workflow: it is a file that can be run, a script of the root's, or gets the tool that is asked for here. */
async function problemOf(command: string): Promise<string | undefined> {
  const [program = "", name = "", ...rest] = command.split(" ");
  if (program === "git") return undefined;
  if (program.startsWith(".")) {
    return access(join(repository, program), constants.X_OK).then(
      () => undefined,
      (error: Error) => error.message,
    );
  }
  if (command === `npm install --global ${packageManager}`) return undefined;
  if (program === "pnpm" && name === "install")
    return rest.join() === "--frozen-lockfile" ? undefined : "not by the lockfile";
  if (program === "pnpm" && rest.length === 0 && name in scripts) return undefined;
  return "nothing of this repository";
}
