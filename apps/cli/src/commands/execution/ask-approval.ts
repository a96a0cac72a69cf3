import type { ApprovalAnswer } from "@stigmer/client";
import type { ToolCall } from "@stigmer/protos/agentexecution/v1";
import wrapAnsi from "wrap-ansi";
import type { CommandIo } from "../../command-io.ts";
import { createPaint } from "../../output/colors.ts";
import { plainText } from "../../output/plain-text.ts";
import { showCall } from "./describe-call.ts";
import { readKey } from "./read-key.ts";

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly onInterrupt: () => void;
}

const answers = {
  y: "yes",
  a: "always in this session",
  e: "edit",
  n: "no",
  s: "skip",
} as const;

/** Shows a call that waits for a person, and asks by a key what shall become of it. Rejects when `signal` is aborted. */
export async function askApproval(
  call: ToolCall,
  options: AskOptions,
  { stdin, stderr, env }: Pick<CommandIo, "stdin" | "stderr" | "env">,
): Promise<ApprovalAnswer> {
  const paint = createPaint(stderr, env);
  /** Below each other with a margin of two columns. Nothing is left out at the ends of lines: what is not seen can't be approved. */
  const within = (text: string): string =>
    wrapAnsi(text, Math.max((stderr.columns || 80) - 2, 20), { hard: true, trim: false }).replaceAll("\n", "\n  ");
  stderr.write(`\n${paint("yellow", "‖")} ${within(showCall(call))}\n`);
  if (call.approval?.reason) {
    stderr.write(`  ${within(paint("dim", `asked because: ${plainText(call.approval.reason)}`))}\n`);
  }
  for (;;) {
    const offered = Object.entries(answers).map(([key, what]) => `${paint("bold", key)} ${what}`);
    stderr.write(`  ${within(`Run it?  ${offered.join(paint("dim", " · "))}`)} `);
    const key = (await readKey(Object.keys(answers), { stdin, ...options })) as keyof typeof answers;
    stderr.write(`\n  ${paint("dim", `→ ${answers[key]}`)}\n`);
    if (key === "y") return { decision: "approve" };
    if (key === "a") return { decision: "approve", forSession: true };
    if (key === "s") return { decision: "skip" };
    if (key === "n")
      return { decision: "reject", reason: (await readLine("  Why not? ", options, { stdin, stderr })).trim() };
    const said = await readLine(call.name === "execute" ? "  Run instead: " : "  Arguments as JSON: ", options, {
      stdin,
      stderr,
    });
    const args = readArguments(call, said);
    if (args !== undefined) return { decision: "edit", args };
    if (said.trim() !== "") stderr.write(`  ${paint("red", "That is no JSON object.")}\n`);
  }
}

async function readLine(
  question: string,
  { signal, onInterrupt }: AskOptions,
  { stdin, stderr }: Pick<CommandIo, "stdin" | "stderr">,
): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: stdin, output: stderr });
  terminal.on("SIGINT", onInterrupt);
  try {
    return await terminal.question(question, { signal });
  } finally {
    terminal.close();
  }
}

function readArguments({ name, args }: ToolCall, text: string): ToolCall["args"] {
  if (text.trim() === "") return undefined;
  if (name === "execute") return { ...args, command: text.trim() };
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as ToolCall["args"])
      : undefined;
  } catch {
    return undefined;
  }
}
