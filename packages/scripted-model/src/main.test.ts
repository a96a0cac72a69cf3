import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "scripted-model-"));
  await writeFile(join(folder, "good.yaml"), "name: n\nscenarios:\n  - name: s\n    turns: [{ text: hello }]\n");
  await writeFile(join(folder, "bad.yaml"), "name: n\nscenarios: 3\n");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) =>
  spawn(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });

it("prints its URL, serves, and ends on SIGTERM", async () => {
  const child = run("--scenario", "good.yaml");
  const ended = once(child, "exit");
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const url = line.toString().trim();
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const response = await fetch(`${url}/v1/models`, {
    headers: { "x-api-key": "any", "anthropic-version": "2023-06-01" },
  });
  expect(await response.json()).toMatchObject({ data: [{ id: "claude-sonnet-4-5" }] });
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});

it.each([
  [["--help"], 0, /^Usage: /, /^$/],
  [[], 2, /^$/, /^--scenario is missing\n\nUsage: /],
  [["--scenario", "good.yaml", "--port", "x"], 2, /^$/, /^--port must be 0 to 65535/],
  [["--nonsense"], 2, /^$/, /^Unknown option '--nonsense'/],
  [
    ["--scenario", "bad.yaml"],
    1,
    /^$/,
    /^Scenario bad\.yaml has a problem:\n {2}2:1 scenarios: expected array, received number\n$/,
  ],
  [["--scenario", "none.yaml"], 1, /^$/, /^Cannot read the scenario file none\.yaml: /],
])("%j ends with %i", async (args, code, stdout, stderr) => {
  const child = run(...args);
  const [output, errors, ended] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  expect(ended).toEqual([code, null]);
  expect(output).toMatch(stdout);
  expect(errors).toMatch(stderr);
});
