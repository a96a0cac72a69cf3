import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repository, type Result, startLocal } from "./stigmer.ts";

// Each example as its README runs it: manifests applied by the CLI, run in a copy of its input, outcome checked by code that
// does not believe what the agent says. Only the model's words are scripted.

interface ExampleCheck {
  readonly message: string;
  /** Variables for the run. */
  readonly env?: Readonly<Record<string, string>>;
  /** What a person is asked to allow, in order, and which file must not be there before. */
  readonly approvals?: readonly { readonly tool: string; readonly absent: string }[];
  prepare(workspaceDir: string): Promise<void>;
  check(workspaceDir: string, output: string): void;
}

const examples = ["repo-doctor", "csv-analyst", "skill-user", "log-detective", "stock-clerk"].map((name) => [
  name,
  join(repository, "examples", name),
]);

it.each(examples)("%s says nothing of the scripted model in its manifests", async (_, folder) => {
  const manifests = (await readdir(folder)).filter((file) => file.endsWith(".yaml") && file !== "scenario.yaml");
  expect(manifests.length).toBeGreaterThanOrEqual(1);
  for (const file of manifests)
    expect(await readFile(join(folder, file), "utf8")).not.toMatch(/scripted|scenario|scripted-model/i);
});

function eventsOf({ stdout }: Result): Record<string, string>[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
}

it.concurrent.each(examples)("%s does its work", { timeout: 240_000 }, async (name, folder) => {
  const example = (await import(join(folder, "check.ts"))) as ExampleCheck;
  await using platform = await startLocal(join(folder, "scenario.yaml"));
  // Below the home, which goes with all that is in it.
  const workspace = join(platform.home, "project");
  const manifests = join(platform.home, "manifests");
  for (const made of [workspace, manifests]) await mkdir(made);
  await example.prepare(workspace);
  for (const file of await readdir(folder)) {
    if (file.endsWith(".yaml")) await copyFile(join(folder, file), join(manifests, file));
  }
  for (const from of [folder, manifests]) {
    const applied = await platform.stigmer(["apply", "-f", from]);
    expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
  }

  const env = Object.entries(example.env ?? {}).flatMap(([key, value]) => ["--env", `${key}=${value}`]);
  let run = await platform.stigmer(["run", name, example.message, "--workspace", workspace, ...env, "--json"]);
  let events = eventsOf(run);
  for (const { tool, absent } of example.approvals ?? []) {
    // Nobody sits at a terminal here: the run rests until it is told.
    expect(run, run.stderr).toMatchObject({ exitCode: 4 });
    expect(run.stderr).toContain(`Waits for approval: ${tool}`);
    expect(await readdir(workspace)).not.toContain(absent);
    const id = events.at(-1)?.["executionId"] ?? "";
    expect(await platform.stigmer(["execution", "approve", id])).toMatchObject({ exitCode: 0 });
    run = await platform.stigmer(["execution", "watch", id, "--json"]);
    events = eventsOf(run);
  }
  expect(run, run.stderr).toMatchObject({ exitCode: 0 });
  const result = events.at(-1);
  expect(result).toMatchObject({ type: "result", phase: "EXECUTION_COMPLETED", error: "" });
  expect(events.every(({ type, executionId }) => type && executionId === result?.["executionId"])).toBe(true);
  example.check(workspace, result?.["output"] ?? "");
});
