// A command's result as the text that a model is shown.
import type { ExecuteResult, FailureReason } from "../sandbox.ts";

const reasons: Readonly<Record<FailureReason, string | undefined>> = {
  timeout: "The command took too long and was ended with everything it had started.",
  aborted: "The command was cancelled and ended with everything it had started.",
  killed: "The command was killed.",
  "out-of-memory": "The command ran out of memory.",
  "output-limit": "The command printed more than is allowed.",
  "sandbox-gone": "The sandbox that the command ran in is gone.",
  "backend-error": "The sandbox failed to run the command.",
  // The shell has said so itself.
  "not-found": undefined,
  permission: undefined,
};

/** In the form of deepagents' own shell backend: stdout, then stderr marked line by line, then what went wrong. */
export function formatExecuteResult(result: ExecuteResult): string {
  const lines = result.stderr.trim() === "" ? [] : result.stderr.trim().split("\n");
  const parts = [...(result.stdout === "" ? [] : [result.stdout]), ...lines.map((line) => `[stderr] ${line}`)];
  const output = parts.length === 0 ? "<no output>" : parts.join("\n");
  if (result.exitCode === 0) return output;
  const reason = result.reason && reasons[result.reason];
  const after = reason === undefined ? "" : `\n\nError: ${reason} (after ${(result.durationMs / 1000).toFixed(1)} s)`;
  return `${output.trimEnd()}${after}\n\nExit code: ${result.exitCode}`;
}
