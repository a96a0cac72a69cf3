import { execFile } from "node:child_process";
import { glob, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHome, processesOf, repository, stigmer } from "./stigmer.ts";

// What a stranger gets: every package built and packed as npm would publish it, `@stigmer/cli` installed from the tarballs
// into an empty project, and used there without our condition and without the checkout.

let project: string;
let program: [string, ...string[]];

/** Runs a tool of the workspace and answers what it printed; fails with all of it. */
function tool(command: string, args: readonly string[], cwd: string): Promise<string> {
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0", TURBO_TELEMETRY_DISABLED: "1" };
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error })) : resolve(stdout),
    );
  });
}

/** Packs one package as npm would get it; answers the tarball's path. */
async function pack(directory: string): Promise<string> {
  const output = await tool("pnpm", ["pack", "--json", "--pack-destination", project], directory);
  return (JSON.parse(output.slice(output.indexOf("{"))) as { filename: string }).filename;
}

beforeAll(async () => {
  project = await realpath(await mkdtemp(join(tmpdir(), "stigmer-packed-")));
  await tool(join(repository, "node_modules/.bin/turbo"), ["run", "build"], repository);
  const tarballs: Record<string, string> = {};
  for await (const manifest of glob("{packages,apps}/*/package.json", { cwd: repository })) {
    const { name } = JSON.parse(await readFile(join(repository, manifest), "utf8")) as { name: string };
    tarballs[name] = `file:${resolve(project, await pack(join(repository, dirname(manifest))))}`;
  }
  const { "@stigmer/cli": cli = "", ...overrides } = tarballs;
  const manifest = { name: "stranger", private: true, dependencies: { "@stigmer/cli": cli }, overrides };
  await writeFile(join(project, "package.json"), JSON.stringify(manifest));
  await tool("npm", ["install", "--no-audit", "--no-fund", "--no-update-notifier"], project);
  program = [join(project, "node_modules/.bin/stigmer")];
}, 400_000);

afterAll(() => rm(project, { recursive: true, force: true }));

describe("@stigmer/cli, packed and installed by npm", () => {
  it("knows its version", async () => {
    const { version } = JSON.parse(await readFile(join(repository, "apps/cli/package.json"), "utf8")) as {
      version: string;
    };
    expect(await stigmer(["--version"], { program })).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("brings every one of our packages once, and from a tarball", async () => {
    const installed = await readdir(join(project, "node_modules/@stigmer"));
    expect(installed).toContain("agent-runner");
    for (const name of installed) {
      const folder = join(project, "node_modules/@stigmer", name);
      expect(await realpath(folder)).toBe(folder);
      expect(await readdir(folder)).toContain("dist");
      expect(await readdir(join(folder, "node_modules", "@stigmer")).catch(() => "none")).toBe("none");
    }
  });

  it("plays its demo", { timeout: 60_000 }, async () => {
    const folder = join(project, "tmp");
    await mkdir(folder);
    const result = await stigmer(["demo"], { program, env: { TMPDIR: folder, HOME: folder } });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(result.stdout).toMatch(/^completed in .* tokens/m);
    const report = /^Report: (\/.+)$/m.exec(result.stdout)?.[1] ?? "";
    expect(await readFile(report, "utf8")).toContain("# Fix");
    expect(await processesOf(folder)).toEqual([]);
  });

  it("keeps a daemon", { timeout: 60_000 }, async () => {
    await using home = await makeHome({ program });
    const started = await home.stigmer(["local", "start", "--port", "0"]);
    expect(started, started.stderr).toMatchObject({ exitCode: 0 });
    expect(await home.status()).toMatchObject({
      running: true,
      processes: [{ state: "running" }, { state: "running" }],
    });
    // From its own files alone.
    for (const line of await processesOf(home.home)) {
      expect(line).toContain(`${project}/node_modules/`);
      expect(line).not.toMatch(/@stigmer\/source|\.ts\b/);
    }
    expect(await home.stigmer(["get", "agents", "-o", "json"])).toMatchObject({ exitCode: 0, stdout: "[]\n" });
    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    expect(await processesOf(home.home)).toEqual([]);
  });
});
