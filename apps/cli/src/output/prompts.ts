import type { CommandIo } from "../command-io.ts";
import { sizedTerminal } from "./sized-terminal.ts";

/** Where questions are asked and answered: for every prompt of @clack/prompts. */
export function promptStreams({ stdin, stderr }: Pick<CommandIo, "stdin" | "stderr">): {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
} {
  return { input: stdin as NodeJS.ReadStream, output: sizedTerminal(stderr) };
}
