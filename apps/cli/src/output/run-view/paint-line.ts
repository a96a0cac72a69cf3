import type { Color, Paint } from "../colors.ts";
import { formatDuration } from "../durations.ts";
import type { TodoState, ToolState } from "./run-events.ts";
import type { RunLine } from "./run-lines.ts";

const toolSigns: Readonly<Record<ToolState, readonly [Color, sign: string, word: string]>> = {
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

/** A line as it is written. `now` is in milliseconds since 1970, for what still runs. */
export function paintLine(line: RunLine, { paint, now }: { paint: Paint; now: number }): string {
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
      const startedMs = Date.parse(line.startedAt);
      const elapsed = line.state === "running" && !Number.isNaN(startedMs) ? now - startedMs : undefined;
      const durationMs = line.durationMs ?? elapsed;
      const details = [word, durationMs === undefined ? "" : formatDuration(durationMs), line.error].filter(Boolean);
      return `  ${paint(color, sign)} ${line.title}${details.length > 0 ? paint("dim", `  ${details.join(" · ")}`) : ""}`;
    }
  }
}
