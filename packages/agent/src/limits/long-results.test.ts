import { ToolMessage } from "@langchain/core/messages";
import { Command } from "@langchain/langgraph";
import type { DeepAgentsChange, DeepAgentsFailure } from "@stigmer/sandbox/deepagents";
import type { AgentMiddleware } from "langchain";
import { expect, it } from "vitest";
import { longResults } from "./long-results.ts";

type Wrapped = (request: object, handler: () => Promise<unknown>) => Promise<unknown>;
const files = new Map<string, string>();

function call(result: unknown, { name = "search", error }: { name?: string; error?: string } = {}): Promise<unknown> {
  const write = async (path: string, text: string): Promise<DeepAgentsChange | DeepAgentsFailure> => {
    if (error !== undefined) return { error };
    files.set(path, text);
    return { path, filesUpdate: null };
  };
  const mask = (text: string): string => text.replaceAll("s3cret", "********");
  const { wrapToolCall }: AgentMiddleware = longResults({ backend: { write }, limit: 9_000, mask });
  return (wrapToolCall as unknown as Wrapped)({ toolCall: { id: "c", name, args: {} } }, async () => result);
}

const image = { type: "image", mimeType: "image/png", data: "A".repeat(50_000) };
const message = (content: ToolMessage["content"], more: object = {}): ToolMessage =>
  new ToolMessage({ content, tool_call_id: "c", name: "search", ...more });

it("leaves images as they are, beside a long text that goes into a file", async () => {
  const text = "line\n".repeat(4_000);
  const short = (await call(
    message([{ type: "text", text }, image, { type: "text", text: "the end" }]),
  )) as ToolMessage;
  expect(short.content).toEqual([
    { type: "text", text: expect.stringContaining("/large_tool_results/c.txt") as string },
    image,
  ]);
  expect(files.get("/large_tool_results/c.txt")).toBe(`${text}\nthe end`);
  const small = [{ type: "text", text: "short" }, image, { type: "text", text: "too" }];
  expect(((await call(message(small))) as ToolMessage).content).toEqual(small);
});

it("takes secrets out of the text, of the file and of what the tool says to programs", async () => {
  const structured = { deep: [{ token: "a s3cret" }], size: 3 };
  const told = message("the s3cret".repeat(2_000), { artifact: structured });
  const short = (await call(told)) as ToolMessage;
  expect(JSON.stringify(short)).not.toContain("s3cret");
  expect(short.artifact).toEqual({ deep: [{ token: "a ********" }], size: 3 });
  expect(files.get("/large_tool_results/c.txt")).toBe("the ********".repeat(2_000));
});

it("shortens what a sub-agent reports, and keeps the rest of its command", async () => {
  const given = new Command({
    update: { files: { a: 1 }, messages: [message("z".repeat(20_000))] },
    graph: Command.PARENT,
  });
  const { update, graph } = (await call(given, { name: "task" })) as Command & { update: { messages: ToolMessage[] } };
  expect(update.messages[0]?.text.length).toBeLessThan(9_000);
  expect(update).toMatchObject({ files: { a: 1 } });
  expect(graph).toBe(Command.PARENT);
});

it("counts bytes, cuts no character in two, and says so when there is no file", async () => {
  const short = (await call(message("😀".repeat(2_500)), { error: "disk full" })) as ToolMessage;
  expect(short.text).toContain("10,000 bytes). It could not be put into a file (disk full): ask for less at once.");
  expect(short.text.isWellFormed()).toBe(true);
});
