import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";

/** Asks for a yes on the terminal. Without a terminal there is nobody to ask: that is refused with `advice`. */
export async function confirm(question: string, advice: string, { stdin, stderr }: CommandIo): Promise<void> {
  if (stdin.isTTY !== true || stderr.isTTY !== true) throw new CliError("usage", advice);
  const { confirm: ask, isCancel } = await import("@clack/prompts");
  const answer = await ask({ message: question, initialValue: false, input: stdin, output: stderr });
  if (isCancel(answer) || !answer) {
    throw new CliError(isCancel(answer) ? "interrupted" : "failed", "Nothing was changed.");
  }
}
