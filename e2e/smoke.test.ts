import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeHome, processesOf, start } from "./stigmer.ts";

// One look at what people do first, by the real program. The rest, in all its cases, takes minutes: *.system.test.ts.

it(
  "a daemon starts, takes what is right, refuses what is wrong, and leaves nothing",
  { timeout: 120_000 },
  async () => {
    await using home = await makeHome();
    const started = await home.stigmer(["local", "start", "--port", "0"]);
    expect(started, started.stderr).toMatchObject({ exitCode: 0 });
    const { processes } = await home.status();
    expect(processes).toMatchObject([
      { name: "stigmer-server", state: "running" },
      { name: "agent-runner", state: "running" },
    ]);

    const agent = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: worker }\n";
    const right = await home.stigmer(["apply", "-f", "-"], { stdin: `${agent}spec: { instructions: Do the work. }\n` });
    expect(right, right.stderr).toMatchObject({ exitCode: 0 });
    const wrong = await home.stigmer(["apply", "-f", "-"], { stdin: `${agent}spec: { instruction: Do the work. }\n` });
    expect(wrong).toMatchObject({ exitCode: 1, stdout: "" });
    expect(wrong.stderr).toMatch(/^[^\n]*did you mean instructions\?[^\n]*\n/);

    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await processesOf(home.home)).toEqual([]);
  },
);

it("the demo repairs its project, and leaves only that", { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-smoke-"));
  try {
    const env = { TMPDIR: folder, STIGMER_HOME: join(folder, "home"), HOME: folder };
    const { exitCode, stdout, stderr } = await start(["demo"], { env }).result;
    expect(exitCode, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^Changes: src\/discount\.js$/m);
    expect(await processesOf(folder)).toEqual([]);
    expect(await readdir(folder)).toEqual([expect.stringMatching(/^stigmer-demo-/)]);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});
