import { createClient } from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "../__fixtures__/platform.ts";
import type { SessionUpdate } from "./session-run.ts";

// The server's own stream methods, also over its restart.

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
  await platform.client.agents.apply({ name: "Greeter", instructions: "Greet whoever writes to you." });
});
afterAll(() => platform[Symbol.asyncDispose]());

it("a session's runs are followed, with those to come, over a restart", async () => {
  const { executions } = platform.client;
  const first = executions.run({ agent: "greeter", message: "first" });
  await first.result();
  const session = (await first.execution).spec?.sessionId ?? "";
  const said = new Map<string, string>();
  const seen = new Set<string>();
  let second: string | undefined;
  let third: string | undefined;
  let deleting = false;
  const take = (update: SessionUpdate): void => {
    if (update.kind === "run") {
      said.set(update.executionId, (said.get(update.executionId) ?? "") + update.text);
      seen.add(`${update.executionId} ${update.phase}`);
    } else {
      seen.add(update.kind === "removed" ? `${update.executionId} removed` : update.kind);
    }
  };
  for await (const update of executions.watchSession(session)) {
    take(update);
    if (update.kind === "caught-up") second = executions.run({ session, message: "second, wait" }).id;
    if (second && !third && said.get(second)?.endsWith("wait")) {
      await platform.restart();
      await executions.sendMessage(second, "now");
      third = executions.run({ session, message: "third" }).id;
    }
    if (third && !deleting && seen.has(`${third} completed`)) {
      deleting = true;
      await executions.delete(first.id);
    }
    if (seen.has(`${first.id} removed`)) break;
  }
  expect(said).toEqual(
    new Map([
      [first.id, "You said: first"],
      [second, "You said: second, wait\n\nHeard: now"],
      [third, "You said: third"],
    ]),
  );
});
it("a list is followed, over a restart", async () => {
  const { executions, agents } = platform.client;
  const agent = await agents.apply({ name: "Listed", instructions: "Greet whoever writes to you." });
  const before = executions.run({ agent, message: "before" });
  await before.result();
  const other = executions.run({ agent: "greeter", message: "of another agent" });
  await other.result();
  let during: string | undefined;
  const shown: string[] = [];
  for await (const update of executions.watchList({ agent })) {
    if (update.kind === "caught-up") {
      shown.push("caught up");
      await platform.restart();
      during = executions.run({ agent, message: "during" }).id;
    } else {
      shown.push(`${update.executionId} ${update.kind === "changed" ? update.execution.status?.phase : "removed"}`);
    }
    if (during && shown.at(-1) === `${during} 3`) await executions.delete(before.id);
    if (shown.at(-1) === `${before.id} removed`) break;
  }
  expect(shown.slice(0, 2)).toEqual([`${before.id} 3`, "caught up"]);
  expect(new Set(shown.slice(2).map((line) => line.slice(0, createId("AgentExecution").length)))).toEqual(
    new Set([during, before.id]),
  );
});

it("the server's hashes and the watcher's are the same", async () => {
  const { executions, transport } = platform.client;
  const resyncs: unknown[] = [];
  // Long enough for the server to send hashes now and then.
  const message = Array.from({ length: 300 }, (_, number) => `word-${number}`).join(" ");
  const run = executions.run({ agent: "greeter", message, onResync: (resync) => resyncs.push(resync) });
  await run.execution;
  const hashes = Array.fromAsync(
    createClient(AgentExecutionQueryController, transport).watch({ executionId: run.id }),
    ({ event, stateHash }) => (event.case === "delta" ? stateHash : ""),
  );
  let text = "";
  for await (const update of run) text += update.text;
  expect(text).toBe(`You said: ${message}`);
  expect(resyncs).toEqual([]);
  expect((await hashes).filter((hash) => hash !== "").length).toBeGreaterThan(0);
});
