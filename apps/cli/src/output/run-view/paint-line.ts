import type { Color, Paint } from "../colors.ts";
import { formatDuration } from "../durations.ts";
import type { TodoState, ToolState } from "./run-events.ts";
import type { RunLine } from "./run-lines.ts";

export const toolSigns: Readonly<Record<ToolState, readonly [Color, sign: string, word: string]>> = {
  pending: ["dim", "·", ""],
  running: ["cyan", "▸", ""],
  completed: ["green", "✓", ""],
  failed: ["red", "✗", "failed"],
  cancelled: ["yellow", "⊘", "cancelled"],
  "outcome-unknown": ["yellow", "?", "outcome unknown"],
  "waiting-for-approval": ["yellow", "‖", "waits for approval"],
};

const todoSigns: Readonly<Record<TodoState, readonly [Color, string]>> = {
  pending: ["dim", "☐"],
  "in-progress": ["cyan", "◐"],
  completed: ["green", "☑"],
  cancelled: ["dim", "☒"],
};

/** A line as it is written. */
export function paintLine(line: RunLine, paint: Paint): string {
  switch (line.kind) {
    case "text":
      return line.text;
    case "notice":
      return paint("dim", line.text);
    case "todo": {
      const [color, sign] = todoSigns[line.todo.status];
      return `  ${paint(color, sign)} ${paint("dim", line.todo.content)}`;
    }
    case "tool": {
      const [color, sign, word] = toolSigns[line.state];
      const { durationMs, error } = line;
      const details = [word, durationMs === undefined ? "" : formatDuration(durationMs), error].filter(Boolean);
      return `  ${paint(color, sign)} ${line.title}${details.length > 0 ? paint("dim", `  ${details.join(" · ")}`) : ""}`;
    }
  }
}
