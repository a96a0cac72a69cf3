// What a power cut of the server's machine leaves behind, and a runner on another machine that lived through it.
import { copyFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { startPlatform } from "./__fixtures__/platform.ts";

const ANSWER = "Some words to say slowly. ".repeat(30);

it("goes on under the next fence from what the server still has, and does nothing twice", async () => {
  await using platform = await startPlatform(
    {
      name: "power cut",
      defaults: { chunkSize: 8, chunkDelayMs: 30 },
      scenarios: [
        {
          name: "an effect, and much to say",
          turns: [{ toolCalls: [{ name: "execute", args: { command: "echo done >> effects" } }] }, { text: ANSWER }],
        },
      ],
    },
    // Time enough for the runner to come back with what it holds.
    { engine: { leaseMs: 15_000 }, killServer: true },
  );
  const runner = await platform.runner();
  const agent = await platform.applyAgent();
  const session = await platform.createSession(agent);
  const run = await platform.submit({ sessionId: session.metadata?.id, message: "Go." });
  const saying = (text: string) =>
    platform.follow(run, ({ messages }) => messages.at(-1)?.content.includes(text) === true);

  const files = ["stigmer.db", "stigmer.db-wal"];
  const data = join(platform.home, "data");
  // The result of the command is on the disk; what is said from here on need not be.
  await saying("Some words");
  for (const file of files) await copyFile(join(data, file), join(platform.home, file));
  await saying("slowly. Some words to say slowly.");
  await platform.restartServer(async () => {
    await rm(join(data, "stigmer.db-shm"), { force: true });
    for (const file of files) await copyFile(join(platform.home, file), join(data, file));
  });

  const { phase, messages } = await platform.follow(run);
  expect(phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(messages.at(-1)?.content).toBe(ANSWER);
  const workspace = join(platform.home, "workspaces", session.metadata?.id ?? "");
  expect(await readFile(join(workspace, "effects"), "utf8")).toBe("done\n");
  const stops = runner.output().match(/"stop":"lease-lost"[^\n]*/gu);
  expect(stops).toEqual([expect.stringContaining("and more were made before this one")]);
}, 120_000);
