import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testConversations } from "./cli/conversations.ts";
import { testFilesAndSettings } from "./cli/files-and-settings.ts";
import { type Ground, makeFolder, scenario } from "./cli/ground.ts";
import { testDaemonCommands, testServerTools } from "./cli/operation.ts";
import { listCommands, recordCli } from "./cli/recorded-cli.ts";
import { testResources } from "./cli/resources.ts";
import { type LocalPlatform, startLocal } from "./stigmer.ts";

// Every command that there is, by the real program: what it is for, and a mistake. A command that is declared and comes up in
// neither way fails the last test, so each new one gets its case in cli/. What matters more than that has files of its own.

let root: string;
let platform: LocalPlatform;
let ground: Ground;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "stigmer-cli-"));
  await writeFile(join(root, "scenario.yaml"), scenario);
  platform = await startLocal(join(root, "scenario.yaml"));
  ground = {
    cli: recordCli(platform, await listCommands()),
    modelEnv: platform.modelEnv,
    folder: (files) => makeFolder(root, files),
  };
});

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true, maxRetries: 3 });
});

// Together a minute on quiet cores; several hundred programs are started, so much more on busy ones.
const patient = { timeout: 400_000 };

describe("every command does its work, and refuses a mistake in one line:", patient, () => {
  testConversations(() => ground);
  testResources(() => ground);
  testServerTools(() => ground);
  testFilesAndSettings(() => ground);
});

describe("and what is done with the daemon:", patient, () => {
  testDaemonCommands(() => ({ ...ground, home: platform.home }));
});

it("that was all of them", async () => {
  expect((await listCommands()).length).toBeGreaterThan(60);
  expect({ works: ground.cli.missing("works"), fails: ground.cli.missing("fails") }).toEqual({ works: [], fails: [] });
});
