import { createMask } from "../plain-text.ts";
import { createJsonPrinter } from "./json-printer.ts";
import { createLivePrinter } from "./live-printer.ts";
import { createPlainPrinter } from "./plain-printer.ts";
import type { PrinterIo, RunPrinter } from "./run-printer.ts";

export interface RunPrinterOptions {
  readonly executionId: string;
  /** One JSON object a line, for programs. */
  readonly json: boolean;
  /** Values that are never shown. */
  readonly secrets?: readonly string[];
}

/** JSON, a live view on a terminal, or plain lines. */
export function createRunPrinter({ executionId, json, secrets = [] }: RunPrinterOptions, io: PrinterIo): RunPrinter {
  const mask = createMask(secrets);
  if (json) return createJsonPrinter(executionId, io, mask);
  // A terminal that says it has no columns (`script`, some CI) can't be redrawn: each letter would be a line.
  const isLive = io.stdout.isTTY === true && io.stdout.columns !== 0 && io.env["TERM"] !== "dumb" && !io.env["CI"];
  return isLive ? createLivePrinter(io, mask) : createPlainPrinter(io, mask);
}
