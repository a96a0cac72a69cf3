import { type BaseMessage, ToolMessage } from "@langchain/core/messages";

/** A call that was begun by a process that is gone. */
export interface LostCall {
  readonly id: string;
  readonly name: string;
  readonly args: unknown;
  /** When it was begun (RFC 3339). */
  readonly begunAt: string;
}

/** Characters of a call's arguments that are quoted. */
const longestQuote = 500;

/** What to look at before going on; a tool that is not ours is known by its name alone. */
const checks: Readonly<Record<string, string>> = {
  execute: "Look at what the command would have changed (files, processes, what it talks to)",
  edit_file: "Read the file to see whether the edit is in it",
};

/** Under which a message keeps what a person was asked about its call. */
const question = "tool_call_question";

/**
 * Tells the model plainly that nobody knows whether its call happened. The marker in `additional_kwargs` tells it to the
 * status. `asked`: what a person is asked about it first.
 */
export function unknownOutcome({ id, name, args, begunAt }: LostCall, asked?: string): ToolMessage {
  const check = checks[name] ?? `Find out by other means what ${name} would have changed`;
  const content = [
    `The outcome of this call is unknown. ${name} was called at ${begunAt}, and then the process that ran it was lost: the`,
    `call may have taken effect fully, in part, or not at all. It was NOT repeated. It was called with ${quote(args)}.`,
    `${check}. Call it again only if it did not happen and is still needed; if you can't find out, say so in your answer.`,
  ].join(" ");
  return new ToolMessage({
    content,
    tool_call_id: id,
    name,
    status: "error",
    additional_kwargs: { tool_call_outcome: "unknown", ...(asked !== undefined && { [question]: asked }) },
  });
}

/** The same in one line for a person. Well-formed, so that it is the same wherever it was kept. */
export function askAboutLostCall({ name, args, begunAt }: LostCall): string {
  return (
    `The outcome of a call of ${name} is unknown: begun at ${begunAt}, its process was lost, and it was not repeated. ` +
    `It was called with ${quote(args)}. Find out whether it happened, tell the agent if need be, then resume the run.`
  ).toWellFormed();
}

/** What a person is to be asked about the calls that the model is about to read the results of, each once. */
export function questionsBefore(messages: readonly BaseMessage[]): readonly string[] {
  const answered = messages.findLastIndex(({ type }) => type === "ai");
  return messages.slice(answered + 1).flatMap(({ additional_kwargs }) => {
    const asked: unknown = additional_kwargs[question];
    return typeof asked === "string" ? [asked] : [];
  });
}

function quote(args: unknown): string {
  const text = JSON.stringify(args) ?? "no arguments";
  return text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
}
