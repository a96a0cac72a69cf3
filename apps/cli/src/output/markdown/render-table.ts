import stringWidth from "string-width";
import wrapAnsi from "wrap-ansi";
import type { MarkdownStyle } from "./render-markdown.ts";

export interface TableContent {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly align: readonly ("center" | "left" | "right" | null)[];
}

const gap = "  ";

/** A table with its columns below each other where it fits, else each row as a list of its cells behind their heads. */
export function renderTable({ head, rows, align }: TableContent, { width, paint }: MarkdownStyle): string[] {
  const widths = head.map((cell, column) =>
    Math.max(...[cell, ...rows.map((row) => row[column] ?? "")].map(columnsOf)),
  );
  const total = widths.reduce((sum, columns) => sum + columns, 0) + gap.length * (widths.length - 1);
  if (total > width) return renderRecords({ head, rows, align }, { width, paint });
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => pad(cell, { columns: widths[column] ?? 0, align: align[column] ?? null }))
      .join(gap)
      .trimEnd();
  const rule = paint("dim", widths.map((columns) => "─".repeat(columns)).join(gap));
  return [line(head.map((cell) => paint("bold", cell))), rule, ...rows.map(line)];
}

function renderRecords({ head, rows }: TableContent, { width, paint }: MarkdownStyle): string[] {
  return rows.flatMap((row, at) => [
    ...(at > 0 ? [""] : []),
    ...head.flatMap((name, column) => {
      const text = `${paint("bold", name)}: ${row[column] ?? ""}`;
      const [first = "", ...others] = wrapAnsi(text, Math.max(width - 2, 10), { hard: true }).split("\n");
      return [first, ...others.map((line) => `  ${line}`)];
    }),
  ]);
}

function pad(cell: string, { columns, align }: { columns: number; align: TableContent["align"][number] }): string {
  const missing = columns - columnsOf(cell);
  const before = align === "right" ? missing : align === "center" ? Math.floor(missing / 2) : 0;
  return `${" ".repeat(before)}${cell}${" ".repeat(missing - before)}`;
}

function columnsOf(cell: string): number {
  return stringWidth(cell);
}
