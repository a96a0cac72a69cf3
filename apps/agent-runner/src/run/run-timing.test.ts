import { create } from "@bufbuild/protobuf";
import { RunTimingSchema } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { createRunTimer } from "./run-timing.ts";

const tool = { agentName: "main", name: "execute", isTask: false };
const model = { agentName: "main", provider: "openai", model: "m" };

function timer(begunAt: number, before?: Parameters<typeof createRunTimer>[0]["before"]) {
  const at = { now: begunAt };
  const clock = (): Date => new Date(at.now);
  return { at, ...createRunTimer({ createdAt: 1_000, begunAt, before, traceparent: "", clock }) };
}

it("counts each moment once, also where models and tools work side by side", () => {
  const { at, ready, observer, read } = timer(1_100);
  at.now = 1_130;
  ready();
  at.now = 1_135;
  const answered = observer.modelCall(model);
  at.now = 1_335;
  answered({ outcome: "answered" });
  const [first, second] = [observer.toolCall(tool), observer.toolCall(tool)];
  const task = observer.toolCall({ ...tool, name: "task", isTask: true });
  at.now = 1_435;
  first({ outcome: "completed" });
  const subAgent = observer.modelCall(model);
  at.now = 1_485;
  subAgent({ outcome: "answered" });
  second({ outcome: "completed" });
  at.now = 1_492;
  task({ outcome: "completed" });
  expect(read(1_500)).toEqual({
    queuedMs: 100,
    setupMs: 30,
    modelMs: 250,
    toolsMs: 100,
    otherMs: 20,
    waitingMs: 0,
    totalMs: 500,
    attempts: 1,
    traceparent: "",
  });
});

it("goes on with what earlier attempts have told, and counts the rest between them as waiting", () => {
  const first = timer(1_100);
  first.at.now = 1_200;
  first.ready();
  const before = create(RunTimingSchema, first.read(1_300));
  const second = timer(9_300, before);
  second.at.now = 9_350;
  second.ready();
  expect(second.read(9_400)).toMatchObject({
    queuedMs: 100,
    setupMs: 150,
    otherMs: 150,
    waitingMs: 8_000,
    totalMs: 8_400,
    attempts: 2,
  });
});

it("has no negative times where clocks disagree", () => {
  const { read } = timer(400);
  expect(read(300)).toMatchObject({ queuedMs: 0, setupMs: 0, totalMs: 0 });
});
