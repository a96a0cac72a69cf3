// What the run's own thread says of its background tasks: which there are, in the result of the call that handed them over, and
// what came of them, in the message that tells the agent so. Both outlive the process.
import { createHash } from "node:crypto";
import { type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";

/** One task that is worked on in the background. */
export interface BackgroundOrder {
  /** What the agent knows it by; the same after every takeover. */
  readonly id: string;
  readonly toolCallId: string;
  /** The sub-agent that has it. */
  readonly name: string;
  readonly description: string;
}

export interface BackgroundResult {
  readonly outcome: "completed" | "failed";
  /** The report, or what went wrong. */
  readonly text: string;
}

const key = "background_task";

export function backgroundTaskId(callKey: string): string {
  return createHash("sha256").update(callKey).digest("hex").slice(0, 12);
}

/** The result of the call: the task is taken, not done. */
export function acceptance({ toolCallId, ...order }: BackgroundOrder): ToolMessage {
  return new ToolMessage({
    content:
      `Task ${order.id}: ${order.name} works on it in the background. Go on with other work. Its report comes by itself, ` +
      `in a message that names the task; you need not ask or wait for it.`,
    tool_call_id: toolCallId,
    name: "task",
    status: "success",
    additional_kwargs: { [key]: order },
  });
}

/** What came of the task, as the agent hears it. */
export function resultMessage(
  runId: string,
  order: BackgroundOrder,
  { outcome, text }: BackgroundResult,
): HumanMessage {
  const { id, name, toolCallId } = order;
  const head =
    outcome === "completed"
      ? `[Task ${id}, which ${name} worked on in the background, is done. Its report:]`
      : `[Task ${id}, which ${name} worked on in the background, failed:]`;
  return new HumanMessage({
    id: resultId(runId, id),
    content: `${head}\n\n${text}`,
    additional_kwargs: { [key]: { id, toolCallId, outcome } },
  });
}

/** The tasks that a run's messages say were taken and whose results they do not have, and those that they do. */
export function ordersIn(
  runId: string,
  messages: readonly BaseMessage[],
): { readonly open: readonly BackgroundOrder[]; readonly heard: readonly BackgroundOrder[] } {
  const said = new Set(messages.map(({ id }) => id));
  const orders = messages.flatMap((message) => readOrder(message) ?? []);
  const isHeard = ({ id }: BackgroundOrder): boolean => said.has(resultId(runId, id));
  return { open: orders.filter((order) => !isHeard(order)), heard: orders.filter(isHeard) };
}

function readOrder(message: BaseMessage): BackgroundOrder | undefined {
  if (!ToolMessage.isInstance(message)) return undefined;
  const order = message.additional_kwargs[key] as Omit<BackgroundOrder, "toolCallId"> | undefined;
  return order === undefined ? undefined : { ...order, toolCallId: message.tool_call_id };
}

/** As those of what people say to a run, it begins with the run's. */
function resultId(runId: string, taskId: string): string {
  return `${runId}/task:${taskId}`;
}

const configKey = "stigmer_background";

type Begin = (order: BackgroundOrder) => void;

/** The part of LangGraph's `configurable` by which the `task` tool of the run's own agent hands over to its run. */
export function backgroundConfig(begin: Begin): Readonly<Record<string, Begin>> {
  return { [configKey]: begin };
}

export function beginnerOf(configurable: Readonly<Record<string, unknown>> | undefined): Begin | undefined {
  return configurable?.[configKey] as Begin | undefined;
}
