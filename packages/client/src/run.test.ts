import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";
import type { PhaseName } from "./phases.ts";
import type { Run } from "./run.ts";

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
  await platform.client.agents.apply({ name: "Greeter", instructions: "Greet whoever writes to you." });
});
afterAll(() => platform[Symbol.asyncDispose]());

/** Waits until the agent has begun to wait. */
async function waiting(run: Run): Promise<void> {
  for await (const { text } of run) if (text.includes("wait")) return;
}

async function phaseOf(id: string): Promise<PhaseName> {
  for await (const { phase } of platform.client.executions.watch(id)) return phase;
  throw new Error("nothing was told");
}

describe("run", () => {
  it("starts a run, tells what is said as it comes, and how it ended", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "Hello to all of you", tags: ["t"] });
    expect(run.id).toMatch(/^aex-[0-9a-z]{26}$/);
    let text = "";
    let last = 0;
    const phases = new Set<PhaseName>();
    for await (const update of run) {
      text += update.text;
      expect(update.revision).toBeGreaterThan(last);
      last = update.revision;
      phases.add(update.phase);
    }
    expect(text).toBe("You said: Hello to all of you");
    expect([...phases].at(-1)).toBe("completed");
    expect(await run.result()).toMatchObject({
      phase: "completed",
      output: text,
      error: "",
      status: { revision: last },
    });
    expect((await run.execution).metadata).toMatchObject({ id: run.id, name: run.id, tags: ["t"] });
  });

  it("finds its agent by id, reference or message, and goes on with a session", async () => {
    const { client } = platform;
    const agent = await client.agents.getByReference("greeter");
    const message = "again";
    const first = client.executions.run({ agent: agent.metadata?.id, message, model: "m-1", env: { A: "1" } });
    const { spec } = await first.execution;
    expect(spec).toMatchObject({
      executionConfig: { modelName: "m-1" },
      runtimeEnv: { A: { value: "1", isSecret: false } },
    });
    await first.result();
    const runs = [
      client.executions.run({ agent: { slug: "greeter", org: "local" }, message }),
      client.executions.run({ agent, message, org: "local" }),
      client.executions.run({ agent: "greeter", message, session: spec?.sessionId, org: "local" }),
      client.executions.run({ message, session: await client.sessions.get(spec?.sessionId ?? "") }),
    ];
    for (const run of runs) expect((await run.result()).phase).toBe("completed");
    const sessions = await Promise.all(runs.map(async ({ execution }) => (await execution).spec?.sessionId));
    expect(sessions.map((id) => id === spec?.sessionId)).toEqual([false, false, true, true]);
  });

  it("keeps secrets out of every answer", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "hush", secrets: { TOKEN: "s3cret" } });
    await run.result();
    const shown = [await run.execution, await platform.client.executions.get(run.id)];
    for (const { spec } of shown) expect(JSON.stringify(spec)).not.toContain("s3cret");
  });

  it("tells of a run that failed as of any other result", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "please fail" });
    expect(await run.result()).toMatchObject({ phase: "failed", error: "it was asked to fail" });
  });

  it.each([
    ["an agent that is not there", { agent: "nobody", message: "x" }, "not-found", /^agent "nobody": .*does not exist/],
    ["neither agent nor session", { message: "x" }, "invalid-argument", /^a run needs an agent, or a session/],
    ["nothing to say", { agent: "greeter", message: "" }, "invalid-argument", /^execution aex-\w+: spec.message: /],
  ])("tells of %s wherever it is looked at", async (_, input, code, message) => {
    const run = platform.client.executions.run(input);
    const expected = { code, message: expect.stringMatching(message) as string };
    await expect(run.result()).rejects.toMatchObject(expected);
    await expect(run.execution).rejects.toMatchObject(expected);
    await expect(run[Symbol.asyncIterator]().next()).rejects.toMatchObject(expected);
    await expect(run.cancel()).rejects.toMatchObject(expected);
  });

  it("goes on when its watcher leaves, can be spoken to, and is followed again", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "wait for me" });
    await waiting(run);
    expect(await phaseOf(run.id)).toBe("in-progress");
    await run.sendMessage("here I am");
    expect(await run.result()).toMatchObject({ phase: "completed", output: "Heard: here I am" });
    let text = "";
    for await (const update of platform.client.executions.attach(run.id)) text += update.text;
    expect(text).toBe("You said: wait for me\n\nHeard: here I am");
  });

  it("rests, goes on, and is cancelled", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "wait here" });
    await waiting(run);
    await run.pause("lunch");
    for await (const { phase } of run) if (phase === "paused") break;
    await run.resume();
    for await (const { phase } of run) if (phase === "in-progress") break;
    await run.cancel("enough");
    expect(await run.result()).toMatchObject({ phase: "cancelled", error: "enough" });
    await expect(run.sendMessage("too late")).rejects.toMatchObject({ code: "failed-precondition" });
  });

  it("outlives its server's restart", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "wait it out" });
    await waiting(run);
    const result = run.result();
    await platform.restart();
    await run.sendMessage("still here?");
    expect(await result).toMatchObject({ phase: "completed", output: "Heard: still here?" });
  });
});

describe("a signal", () => {
  it("stops watching, not the run", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const run = platform.client.executions.run({ agent: "greeter", message: "wait on", signal });
    await waiting(run);
    const result = run.result();
    controller.abort();
    await expect(result).rejects.toMatchObject({ code: "cancelled" });
    expect(await phaseOf(run.id)).toBe("in-progress");
    await run.cancel();
  });

  it("cancels the run where that was asked for", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const run = platform.client.executions.run({ agent: "greeter", message: "wait", signal, cancelOnAbort: true });
    await waiting(run);
    controller.abort();
    expect((await platform.client.executions.attach(run.id).result()).phase).toBe("cancelled");
  });

  it("that was aborted before keeps the run from being started", async () => {
    const run = platform.client.executions.run({ agent: "greeter", message: "never", signal: AbortSignal.abort() });
    await expect(run.result()).rejects.toMatchObject({ code: "cancelled" });
    await expect(platform.client.executions.get(run.id)).rejects.toMatchObject({ code: "not-found" });
  });
});

it("a run that is not there can't be attached to", async () => {
  const missing = platform.client.executions.attach("aex-01m7yp6m06v3nf22f78h88f1ad");
  await expect(missing.result()).rejects.toMatchObject({ code: "not-found" });
  await expect(platform.client.executions.attach("").execution).rejects.toMatchObject({
    message: "execution_id cannot be empty",
  });
});
