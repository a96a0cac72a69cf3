import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { promptStreams } from "../output/prompts.ts";

/** Asks for a yes on the terminal. Without a terminal there is nobody to ask: that is refused with `advice`. */
export async function confirm(question: string, advice: string, io: CommandIo): Promise<void> {
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true) throw new CliError("usage", advice);
  const { confirm: ask, isCancel } = await import("@clack/prompts");
  const answer = await ask({ ...promptStreams(io), message: question, initialValue: false });
  if (isCancel(answer) || !answer) {
    throw new CliError(isCancel(answer) ? "interrupted" : "failed", "Nothing was changed.");
  }
}
