import { ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { applyAgents, scenario } from "./agents.ts";
import { type Effects, startEffects } from "./effects.ts";
import { type Installation, startInstallation } from "./installation.ts";

// Two servers and two runners, seen from outside: whatever is asked of one server is so for the other.

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

let effects: Effects;
let cloud: Installation;
beforeAll(async () => {
  effects = await startEffects();
  cloud = await startInstallation({ scenario: scenario, orgs: ["acme", "globex"], runners: 2 });
  for (const org of ["acme", "globex"]) await applyAgents(cloud.client(org), effects.url);
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
  await effects?.[Symbol.asyncDispose]();
});

const [a, b] = [0, 1].map((index) => () => cloud.client("acme", cloud.endpoints[index])) as [
  () => ReturnType<Installation["client"]>,
  () => ReturnType<Installation["client"]>,
];

it("shows on one server, word by word, the run that was started on the other", async () => {
  const run = a().executions.run({ agent: "bookkeeper", message: "Book three entries #plain" });
  await run.execution;
  const revisions: number[] = [];
  let output = "";
  for await (const { revision, text } of b().executions.watch(run.id)) {
    revisions.push(revision);
    output += text;
  }
  expect(revisions).toEqual(revisions.toSorted((x, y) => x - y));
  expect(new Set(revisions).size).toBe(revisions.length);
  expect(revisions.length).toBeGreaterThan(5);
  expect(output).toContain("The entries of plain are booked.");
  expect(await run.result()).toMatchObject({ phase: "completed", output: "The entries of plain are booked." });
  const booked = [...effects.counts].filter(([entry]) => entry.startsWith("plain/"));
  // Two of them are made side by side, in whichever order.
  expect(Object.fromEntries(booked)).toEqual({ "plain/one": 1, "plain/two": 1, "plain/beside": 1, "plain/three": 1 });
});

it("takes on one server the decision on a call of a run that was started on the other", async () => {
  const run = a().executions.run({ agent: "careful", message: "Book with approval #decided" });
  await run.execution;
  const waiting = await waitingCall(run.id);
  expect(effects.counts.get("decided/approved")).toBeUndefined();
  await b().executions.resolveApproval(run.id, waiting, { decision: "approve" });
  expect(await run.result()).toMatchObject({ phase: "completed", output: "What was approved of decided is booked." });
  expect(effects.counts.get("decided/approved")).toBe(1);
});

it("holds, lets go on, and cancels on one server what was started on the other", async () => {
  const run = a().executions.run({ agent: "bookkeeper", message: "Go on for long #held" });
  await run.execution;
  const until = async (phase: string): Promise<void> => {
    for await (const update of a().executions.watch(run.id)) if (update.phase === phase) return;
  };
  await until("in-progress");
  await b().executions.pause(run.id, "let me look");
  await until("paused");
  await b().executions.resume(run.id);
  await until("in-progress");
  await b().executions.cancel(run.id, "enough");
  expect(await run.result()).toMatchObject({ phase: "cancelled", error: "enough" });
  const held = [...effects.counts].filter(([entry]) => entry.startsWith("held/"));
  expect(held.filter(([, count]) => count !== 1)).toEqual([]);
});

it("keeps a session's sandbox for its next run, whichever runner has that", async () => {
  const first = a().executions.run({ agent: "bookkeeper", message: "Keep a file #first" });
  const { output } = await first.result();
  expect(output).toBe("Kept, as line 1.");
  const session = (await first.execution).spec?.sessionId ?? "";
  for (const line of [2, 3, 4]) {
    const next = (line % 2 ? a() : b()).executions.run({ session, message: "Keep a file #next" });
    expect((await next.result()).output).toBe(`Kept, as line ${line}.`);
  }
});

it("tells an organisation nothing of another one's runs", async () => {
  const run = a().executions.run({ agent: "bookkeeper", message: "Book three entries #private" });
  const { status } = await run.result();
  expect(status.toolCalls.every((call) => call.status === ToolCallStatus.TOOL_CALL_COMPLETED)).toBe(true);
  for (const endpoint of cloud.endpoints) {
    const other = cloud.client("globex", endpoint);
    await expect(other.executions.get(run.id)).rejects.toMatchObject({ code: "not-found" });
    await expect(other.executions.cancel(run.id)).rejects.toMatchObject({ code: "not-found" });
    await expect(other.executions.watch(run.id).next()).rejects.toMatchObject({ code: "not-found" });
    for await (const { metadata } of other.executions.list()) expect(metadata?.org).toBe("globex");
  }
});

/** The id of the call that waits for a person, once the run rests. */
async function waitingCall(id: string): Promise<string> {
  for await (const { phase, status } of b().executions.watch(id)) {
    const call = status.toolCalls.find((each) => each.status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL);
    if (phase === "waiting-for-approval" && call) return call.id;
  }
  throw new Error("The run ended without having asked.");
}
