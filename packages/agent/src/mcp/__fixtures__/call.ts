import type { StructuredTool } from "@langchain/core/tools";

/** What a tool answers, or that it failed and how. */
export async function call(
  { tools }: { readonly tools: readonly StructuredTool[] },
  name: string,
  args: Record<string, unknown> = {},
  signal?: AbortSignal,
): Promise<unknown> {
  const tool = tools.find((each) => each.name === name);
  if (tool === undefined) throw new Error(`no tool ${name} among ${tools.map((each) => each.name).join()}`);
  return tool.invoke(args, { signal }).catch((error: Error) => `failed: ${error.message}`);
}
