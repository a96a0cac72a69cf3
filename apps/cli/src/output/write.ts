import type { OutputStream } from "../command-io.ts";

/** Writes a line. */
export function writeLine(stream: OutputStream, text: string): void {
  stream.write(`${text}\n`);
}
