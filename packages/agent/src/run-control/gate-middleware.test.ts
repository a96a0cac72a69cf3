import { isGraphDrained } from "@langchain/langgraph";
import type { AgentMiddleware } from "langchain";
import { expect, it } from "vitest";
import { restBetweenAttempts, runGate } from "./gate-middleware.ts";
import { createRunGate, gateConfig } from "./run-gate.ts";

type Call = (request: object, handler: (request: object) => Promise<unknown>) => Promise<unknown>;
const modelCall = ({ wrapModelCall }: AgentMiddleware): Call => wrapModelCall as unknown as Call;
const toolCall = ({ wrapToolCall }: AgentMiddleware): Call => wrapToolCall as unknown as Call;
const forever = (): Promise<never> => new Promise(() => {});

/** A model call in its two gates; `retries` stands between them. */
function callModel(
  pause: AbortSignal,
  retries: (attempt: () => Promise<unknown>) => Promise<unknown>,
  model: () => Promise<unknown>,
) {
  const request = {
    messages: [],
    runtime: { configurable: gateConfig(createRunGate({ pause, hasNews: () => false, restedFor: undefined })) },
  };
  const attempt = (): Promise<unknown> => modelCall(runGate({ listens: true }))(request, model);
  return modelCall(restBetweenAttempts())(request, () => retries(attempt)).catch((error: unknown) => error as Error);
}

it("does not wait for the next attempt, asked before or while it would", async () => {
  const overloaded = new Error("Overloaded");
  for (const askedDuringAttempt of [true, false]) {
    const pause = new AbortController();
    const model = async (): Promise<never> => {
      if (askedDuringAttempt) pause.abort();
      throw overloaded;
    };
    const retries = async (attempt: () => Promise<unknown>): Promise<never> => {
      await expect(attempt()).rejects.toBe(overloaded);
      if (!askedDuringAttempt) setImmediate(() => pause.abort());
      return forever();
    };
    expect(isGraphDrained((await callModel(pause.signal, retries, model)) as Error)).toBe(true);
  }
});

it("waits for the attempt that is under way, and gives what comes of it", async () => {
  const pause = new AbortController();
  const answer = new Promise((resolve) => setTimeout(resolve, 50, "the answer"));
  const call = callModel(
    pause.signal,
    (attempt) => attempt(),
    () => answer,
  );
  setImmediate(() => pause.abort());
  expect(await call).toBe("the answer");
});

it("gives the failure of a last attempt", async () => {
  const pause = new AbortController();
  const overloaded = new Error("Overloaded");
  const model = async (): Promise<never> => {
    pause.abort();
    throw overloaded;
  };
  expect(await callModel(pause.signal, (attempt) => attempt(), model)).toBe(overloaded);
});

it("begins no attempt once asked", async () => {
  const pause = AbortSignal.abort();
  const model = (): Promise<never> => expect.unreachable("the model was called");
  expect(isGraphDrained((await callModel(pause, (attempt) => attempt(), model)) as Error)).toBe(true);
});

it("has what came before a tool written down, and after a sub-agent's task what that came to", async () => {
  const log: string[] = [];
  const gate = runGate({ listens: true, writesOf: () => ({ release: () => void log.push("release") }) });
  for (const name of ["ls", "task"]) {
    await toolCall(gate)({ runtime: {}, toolCall: { name } }, async () => void log.push(name));
  }
  expect(log).toEqual(["release", "ls", "release", "task", "release"]);
});
