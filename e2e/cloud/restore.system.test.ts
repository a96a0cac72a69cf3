import { dirname } from "node:path";
import type { StigmerClient } from "@stigmer/client";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { until } from "../stigmer.ts";
import { applyAgents, scenario } from "./agents.ts";
import { type Effects, startEffects } from "./effects.ts";
import { readGuide, runBlock } from "./guide-blocks.ts";
import { type Installation, startInstallation } from "./installation.ts";
import { leftoversOfRuns, openWorkflows } from "./leftovers.ts";

// Postgres is lost under live runs and restored to an earlier point, by the commands of docs/guides/cloud.md: every run ends, whatever
// it has done since, and nothing is done again.

vi.setConfig({ testTimeout: 900_000, hookTimeout: 600_000 });

const FOREVER = "Go on and on";
const longer: NonNullable<ScenarioFile["scenarios"]> = [
  {
    name: "goes on and on",
    match: { human: FOREVER },
    capture: { name: { from: "human", pattern: "#(\\S+)" } },
    turns: Array.from({ length: 300 }, (_, step) => ({
      text: "I go on. ".repeat(10),
      toolCalls: [{ name: "effects__book", args: { entry: `{{ name }}/${step}` } }],
    })),
  },
];

let effects: Effects;
let cloud: Installation;
let client: StigmerClient;
beforeAll(async () => {
  effects = await startEffects();
  const scenarios = [...(scenario.scenarios ?? []), ...longer];
  cloud = await startInstallation({ scenario: { ...scenario, scenarios }, orgs: ["acme"], runners: 2 });
  client = cloud.client("acme");
  await applyAgents(client, effects.url);
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
  await effects?.[Symbol.asyncDispose]();
});

async function start(message: string, of: { readonly agent: string } | { readonly session: string }): Promise<string> {
  const run = client.executions.run({ ...of, message });
  await run.execution;
  return run.id;
}
const sessionOf = async (id: string): Promise<string> => (await client.executions.get(id)).spec?.sessionId ?? "";
const endOf = async (id: string): Promise<string> => {
  let last = "";
  for await (const { phase, status } of client.executions.watch(id)) last = `${phase}: ${status.error}`;
  return last;
};
async function untilPhase(id: string, wanted: string): Promise<void> {
  for await (const { phase } of client.executions.watch(id)) if (phase === wanted) return;
  throw new Error(`${id} ended without having been ${wanted}.`);
}
const effectsOf = (name: string): number =>
  [...effects.counts.keys()].filter((each) => each.startsWith(`${name}/`)).length;
async function approve(id: string): Promise<void> {
  const { status } = await client.executions.get(id);
  await client.executions.resolveApproval(id, status?.toolCalls.at(-1)?.id ?? "", { decision: "approve" });
}

/** Servers and runners die, and the databases are gone. */
async function loseEverything(): Promise<void> {
  const parts = [...cloud.parts.runners, ...cloud.parts.servers];
  await Promise.all(parts.map((part) => part.kill()));
  await Promise.all(parts.map((part) => part.stop()));
  await cloud.emptyDatabases();
}

async function startAgain(): Promise<void> {
  await Promise.all(cloud.parts.servers.map((part) => part.start()));
  await Promise.all(cloud.parts.runners.map((part) => part.start()));
}

/** Runs what the guide says under its heading of backups: the block with these words. */
async function asTheGuideSays(words: string): Promise<string> {
  const blocks = (await readGuide("cloud")).filter(({ section }) => section === "Backup and restore");
  const env = {
    ...cloud.serverEnv,
    STIGMER_HOME: `${cloud.folder}/operator`,
    STIGMER_CHECKPOINT_URL: cloud.checkpointUrl,
  };
  const path = [cloud.postgresPrograms, dirname(process.env["STIGMER_TEST_TEMPORAL"] ?? "")];
  return runBlock(
    blocks.find(({ text }) => text.includes(words)),
    { folder: cloud.folder, env, path },
  );
}

it("comes back to an earlier point: each run ends, with what to do, and nothing is done twice", async () => {
  const over = await start("Book three entries #over", { agent: "bookkeeper" });
  expect(await endOf(over)).toBe("completed: ");
  const kept = await start("Keep a file #kept", { agent: "bookkeeper" });
  expect(await endOf(kept)).toBe("completed: ");
  const before = await client.executions.get(over);

  const endless = await start(`${FOREVER} #endless`, { agent: "bookkeeper" });
  const [decided, undecided] = [
    await start("Book with approval #decided", { agent: "careful" }),
    await start("Book with approval #undecided", { agent: "careful" }),
  ];
  const paused = await start(`${FOREVER} #paused`, { agent: "bookkeeper" });
  await untilPhase(paused, "in-progress");
  await client.executions.pause(paused, "let me look");
  for (const [id, phase] of [
    [decided, "waiting-for-approval"],
    [undecided, "waiting-for-approval"],
    [paused, "paused"],
  ])
    await untilPhase(id ?? "", phase ?? "");
  const ending = await start("Go on for long #ending", { agent: "bookkeeper" });
  const next = await start("Book three entries #next", { session: await sessionOf(ending) });
  await until(async () => effectsOf("ending") > 1 && effectsOf("endless") > 1, 180);
  await asTheGuideSays("pg_dump");
  expect([effectsOf("next"), effectsOf("decided"), (await client.executions.get(ending)).status?.completedAt]).toEqual([
    0,
    0,
    "",
  ]);

  // What nobody will remember: runs that end, one that begins, one that was approved, and one that goes on.
  const watched = endOf(endless);
  await approve(decided);
  expect(await Promise.all([endOf(ending), endOf(next), endOf(decided)])).toEqual([
    "completed: ",
    "completed: ",
    "completed: ",
  ]);
  const laterOver = await start("Keep a file #later", { session: await sessionOf(kept) });
  expect(await endOf(laterOver)).toBe("completed: ");
  const laterResting = await start("Book with approval #later", { agent: "careful" });
  await untilPhase(laterResting, "waiting-for-approval");
  const laterOpen = await start(`${FOREVER} #open`, { agent: "bookkeeper" });
  await until(async () => effectsOf("open") > 1, 180);

  await loseEverything();
  const done = new Map(effects.counts);
  await asTheGuideSays("pg_restore");
  expect(await asTheGuideSays("end-runs")).toContain("6 runs had not ended");
  await startAgain();

  const told = expect.stringMatching(
    /^cancelled: The server's database was restored .* ask its session for what is missing\.$/,
  ) as string;
  const open = [ending, next, endless, decided, undecided, paused];
  expect(await Promise.all(open.map(endOf))).toEqual(open.map(() => told));
  expect(await watched).toEqual(told);
  expect((await client.executions.get(over)).status).toEqual(before.status);
  for (const id of [laterOver, laterResting, laterOpen])
    await expect(client.executions.get(id)).rejects.toMatchObject({ code: "not-found" });
  expect(await leftoversOfRuns(cloud)).toEqual([]);
  expect(effects.counts).toEqual(done);

  // Sessions take the next message, with the sandbox that they have, and what else they had.
  for (const [name, id] of Object.entries({ ending, endless, paused }))
    expect(await endOf(await start(`Book three entries #${name}-again`, { session: await sessionOf(id) }))).toBe(
      "completed: ",
    );
  const again = await start("Keep a file #again", { session: await sessionOf(kept) });
  expect(await endOf(again)).toBe("completed: ");
  expect((await client.executions.get(again)).status?.messages.at(-1)?.content).toBe("Kept, as line 3.");
  expect([...effects.counts].filter(([, count]) => count !== 1)).toEqual([]);
});

it("goes on from the dump where nobody ended what was under way, and comes to its end", async () => {
  const decided = await start("Book with approval #goes-on-decided", { agent: "careful" });
  const endless = await start(`${FOREVER} #goes-on-endless`, { agent: "bookkeeper" });
  await untilPhase(decided, "waiting-for-approval");
  const ending = await start("Go on for long #goes-on", { agent: "bookkeeper" });
  const next = await start("Book three entries #goes-on-next", { session: await sessionOf(ending) });
  await until(async () => effectsOf("goes-on") > 1 && effectsOf("goes-on-endless") > 1, 180);
  await asTheGuideSays("pg_dump");
  await approve(decided);
  expect(await Promise.all([ending, next, decided].map(endOf))).toEqual(["completed: ", "completed: ", "completed: "]);
  // A run has ended for its people before its runner has told Temporal so.
  await until(async () => (await openWorkflows(cloud)).join() === endless, 60);
  await loseEverything();
  const done = new Map(effects.counts);
  await asTheGuideSays("pg_restore");
  await startAgain();

  // Temporal knows how these have ended.
  expect(await Promise.all([ending, next, decided].map(endOf))).toEqual(["completed: ", "completed: ", "completed: "]);
  // That is what the guide's next step is for.
  await until(
    async () => [...effects.counts].some(([entry, count]) => entry.startsWith("goes-on-endless/") && count > 1),
    180,
  );
  await client.executions.cancel(endless, "enough");
  expect(await endOf(endless)).toBe("cancelled: enough");
  const others = [...effects.counts].filter(([entry]) => !entry.startsWith("goes-on-endless/"));
  expect(others).toEqual([...done].filter(([entry]) => !entry.startsWith("goes-on-endless/")));
  expect(await leftoversOfRuns(cloud)).toEqual([]);
});
