// The live view as lines that fit the terminal.
import sliceAnsi from "slice-ansi";
import stringWidth from "string-width";
import type { Color, Paint } from "../colors.ts";
import { formatDuration } from "../durations.ts";
import { renderMarkdown, wrapLines } from "../markdown/render-markdown.ts";
import type { Block, LiveState, Work } from "./live-view.ts";
import { paintLine, toolSigns } from "./paint-line.ts";
import type { Todo } from "./run-events.ts";

export interface LiveStyle {
  readonly paint: Paint;
  /** Columns and rows of the terminal. */
  readonly width: number;
  readonly height: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

type Kind = "text" | "notice" | "work" | "todos";

const spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/** How often the view is drawn anew while something runs. */
export const frameMs = 100;

/** A sign that turns while time goes on. */
export function spin({ now }: Pick<LiveStyle, "now">): string {
  return spinner[Math.floor(now / frameMs) % spinner.length] ?? "";
}

/** Lines of final blocks, with a blank line where something of another kind begins. `before` is what was written last. */
export function paintBlocks(
  blocks: readonly Block[],
  style: LiveStyle,
  before: Kind | undefined,
): { readonly lines: readonly string[]; readonly last: Kind | undefined } {
  const lines: string[] = [];
  let last = before;
  for (const block of blocks) {
    const kind = block.kind === "heading" ? "work" : block.kind;
    const painted = paintBlock(block, style);
    if (painted.length === 0) continue;
    const goesOn = block.kind === "text" ? block.goesOn : true;
    if (last !== undefined && (last !== kind || !goesOn)) lines.push("");
    lines.push(...painted);
    last = kind;
  }
  return { lines, last };
}

function paintBlock(block: Block, style: LiveStyle): string[] {
  const { paint, width } = style;
  switch (block.kind) {
    case "text":
      return renderMarkdown(block.text, style);
    case "notice":
      return wrapLines(block.text.trim(), width).map((line) => paint("dim", line));
    case "heading":
      return [fit(`${indent(block.depth)}${paint("dim", block.text)}`, width)];
    case "work":
      return paintWork(block.work, style);
    case "todos":
      return block.todos.map((todo) => paintTodo(todo, style));
  }
}

/** The lines that may still change, never more than the terminal has; `status` is the last of them. */
export function paintLive(
  { text, textGoesOn, work, todos }: LiveState,
  style: LiveStyle,
  { status, before }: { readonly status: string; readonly before: Kind | undefined },
): string[] {
  // The cursor stands below, and a line must be left for what scrolls by.
  const most = Math.max(style.height - 2, 1);
  const statusLine = fit(status, style.width);
  if (most < 6) return [statusLine];
  const third = Math.floor(most / 3);
  const planned = around(todos, Math.min(third, 7)).map((todo) => paintTodo(todo, style));
  const working = work.slice(0, third).map((each) => paintWork(each, style)[0] ?? "");
  if (work.length > third) working.push(style.paint("dim", `  … and ${work.length - third} more`));
  const below = [working, planned, [statusLine]].filter(({ length }) => length > 0);
  const taken = below.reduce((sum, { length }) => sum + length + 1, 0);
  const open = text.trim() === "" ? [] : wrapLines(text.trimEnd(), style.width).slice(-Math.max(most - taken, 1));
  const parts = [...(open.length > 0 ? [open] : []), ...below];
  const isJoined =
    before === undefined ||
    (open.length > 0 ? before === "text" && textGoesOn : before === "work" && working.length > 0);
  return parts.flatMap((lines, at) => (at === 0 && isJoined ? lines : ["", ...lines]));
}

/** As many as there is room for, with the first that is not done among them. */
function around(todos: readonly Todo[], most: number): readonly Todo[] {
  const next = todos.findIndex(({ status }) => status === "in-progress" || status === "pending");
  const start = Math.max(0, Math.min(next - 1, todos.length - most));
  return todos.slice(start, start + most);
}

function paintTodo(todo: Todo, { paint, width }: LiveStyle): string {
  return fit(paintLine({ kind: "todo", todo }, paint), width);
}

/** A line, and below it what went wrong. */
function paintWork({ state, title, depth, startedAt, durationMs, error, ended = 0 }: Work, style: LiveStyle): string[] {
  const { paint, width, now } = style;
  const [color, sign, word]: readonly [Color, string, string] = toolSigns[state];
  const startedMs = Date.parse(startedAt);
  const elapsed = state === "running" && !Number.isNaN(startedMs) ? now - startedMs : undefined;
  const ms = durationMs ?? elapsed;
  const calls = ended === 0 ? "" : `${ended} ${ended === 1 ? "call" : "calls"}`;
  const details = [word, ms === undefined ? "" : formatDuration(ms), calls].filter(Boolean).join(" · ");
  const end = details === "" ? "" : `  ${details}`;
  const start = `${indent(depth)}${paint(color, state === "running" ? spin(style) : sign)} `;
  const room = Math.max(width - stringWidth(start) - stringWidth(end), 8);
  const first = fit(`${start}${fit(title, room)}${paint("dim", end)}`, width);
  if (error === "") return [first];
  const margin = `${indent(depth)}  `;
  return [first, ...wrapLines(error, width - margin.length).map((line) => `${margin}${paint("dim", line)}`)];
}

function indent(depth: number): string {
  return "  ".repeat(Math.min(depth, 4) + 1);
}

/** So many of the parts as there is room for. */
export function fitParts(parts: readonly string[], width: number): string {
  const room = parts.findLastIndex((_, at) => stringWidth(parts.slice(0, at + 1).join(" · ")) <= width);
  return parts.slice(0, Math.max(room, 0) + 1).join(" · ");
}

/** Cuts off what is too long, and shows that it did. */
function fit(text: string, width: number): string {
  return stringWidth(text) <= width ? text : `${sliceAnsi(text, 0, Math.max(width - 1, 0))}…`;
}
