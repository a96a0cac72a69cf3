import { afterEach, expect, it } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const plan = (content: string) => ({ name: "write_todos", args: { todos: [{ content, status: "pending" }] } });

it("takes one plan a turn, and tells a model that writes two to write one", async () => {
  bench = await openWorkbench([
    { name: "plans", turns: [{ toolCalls: [plan("a"), plan("b")] }, { toolCalls: [plan("c")] }, { text: "Planned." }] },
  ]);
  const agent = await bench.agent();
  const events = await collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go." }));
  expect(toolResults(events).map(({ content, status }) => [status, content])).toEqual([
    ["error", expect.stringContaining("2 calls of write_todos came in one turn")],
    ["error", expect.stringContaining("Call it once, with all todos")],
  ]);
  const written = events.flatMap(({ mode, data }) =>
    mode === "updates"
      ? Object.values(data as Record<string, { todos?: unknown }>).flatMap(({ todos }) => todos ?? [])
      : [],
  );
  expect(written).toEqual([{ content: "c", status: "pending" }]);
  expect(answer(events)).toBe("Planned.");
});
