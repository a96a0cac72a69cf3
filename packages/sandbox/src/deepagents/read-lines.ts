// One page of a text, counted as deepagents' `read_file` counts.
import { SandboxError } from "../errors.ts";

/** deepagents recognises this very sentence and shows it without line numbers. */
const emptyFile = "System reminder: File exists but has empty contents";
const defaultLimit = 500;

export interface Page {
  readonly content: string;
  readonly totalLines?: number;
  readonly startLine?: number;
  readonly endLine?: number;
  readonly nextOffset?: number;
}

/** `offset` counts from 0, the lines in the result from 1. Throws `invalid-argument` behind the last line. */
export function readLines(text: string, offset = 0, limit: number = defaultLimit): Page {
  if (text.trim() === "") return { content: emptyFile };
  const start = wholeNumber(offset);
  const count = wholeNumber(limit);
  const lines = text.split("\n");
  const totalLines = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  if (start >= totalLines) {
    throw new SandboxError("invalid-argument", `Line offset ${start} exceeds file length (${totalLines} lines)`);
  }
  const content = lines.slice(start, Math.min(start + count, lines.length)).join("\n");
  if (count === 0) return { content };
  const endLine = Math.min(start + count, totalLines);
  return {
    content,
    totalLines,
    startLine: start + 1,
    endLine,
    ...(endLine < totalLines && { nextOffset: endLine }),
  };
}

function wholeNumber(value: number): number {
  return Number.isFinite(value) ? Math.max(0, Math.floor(value)) : 0;
}
