import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { repository, startLocal, type LocalPlatform } from "./stigmer.ts";

// Each example as its README runs it: manifests applied by the CLI, run in a copy of its input, outcome checked by code that
// does not believe what the agent says. Only the model's words are scripted.

interface ExampleCheck {
  readonly message: string;
  prepare(workspaceDir: string): Promise<void>;
  check(workspaceDir: string, output: string): void;
}

describe.each(["repo-doctor", "csv-analyst", "skill-user"])("example %s", (name) => {
  const folder = join(repository, "examples", name);
  let platform: LocalPlatform;
  let workspace: string;
  let example: ExampleCheck;

  beforeAll(async () => {
    example = (await import(join(folder, "check.ts"))) as ExampleCheck;
    platform = await startLocal(join(folder, "scenario.yaml"));
    workspace = await mkdtemp(join(tmpdir(), "stigmer-example-"));
    await example.prepare(workspace);
  }, 60_000);

  afterAll(async () => {
    await platform[Symbol.asyncDispose]();
    await rm(workspace, { recursive: true, force: true });
  });

  it("says nothing of the scripted model in its manifests", async () => {
    const manifests = (await readdir(folder)).filter((file) => file.endsWith(".yaml") && file !== "scenario.yaml");
    expect(manifests.length).toBeGreaterThanOrEqual(1);
    for (const file of manifests)
      expect(await readFile(join(folder, file), "utf8")).not.toMatch(/scripted|scenario|scripted-model/i);
  });

  it("does its work", { timeout: 60_000 }, async () => {
    const manifests = join(workspace, "..", `${name}-manifests-${process.pid}`);
    await mkdir(manifests);
    for (const file of await readdir(folder)) {
      if (file.endsWith(".yaml")) await copyFile(join(folder, file), join(manifests, file));
    }
    const applied = await platform.stigmer(["apply", "-f", folder]);
    expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
    const again = await platform.stigmer(["apply", "-f", manifests]);
    expect(again, again.stderr).toMatchObject({ exitCode: 0 });
    await rm(manifests, { recursive: true });

    const run = await platform.stigmer(["run", name, example.message, "--workspace", workspace, "--json"]);
    expect(run, run.stderr).toMatchObject({ exitCode: 0 });
    const events = run.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
    const result = events.at(-1);
    expect(result).toMatchObject({ type: "result", phase: "EXECUTION_COMPLETED", error: "" });
    expect(events.every(({ type, executionId }) => type && executionId === result?.["executionId"])).toBe(true);
    example.check(workspace, result?.["output"] ?? "");
  });
});
