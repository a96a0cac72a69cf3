import { createLogUpdate } from "log-update";
import { createPaint } from "../colors.ts";
import { paintLine } from "./paint-line.ts";
import { createRunReader } from "./run-events.ts";
import { addEvent, emptyView, liveLines, type RunLine, type RunView } from "./run-lines.ts";
import type { Mask, PrinterIo, RunPrinter } from "./run-printer.ts";
import { summarize } from "./run-summary.ts";

/** How often running times are drawn anew. */
const redrawMs = 200;

/** Everything to the terminal: final lines scroll away, what still changes is drawn anew below them. */
export function createLivePrinter({ stdout, env }: PrinterIo, mask: Mask): RunPrinter {
  const reader = createRunReader();
  const paint = createPaint(stdout, env);
  // The cursor stays: hiding it would put handlers on the process's signals, which are the command's to handle.
  const region = createLogUpdate(stdout as NodeJS.WriteStream, { showCursor: true });
  let view: RunView = emptyView;
  let timer: NodeJS.Timeout | undefined;

  const painted = (line: RunLine): string => mask(paintLine(line, { paint, now: Date.now() }));
  const draw = (): void => {
    const lines = liveLines(view);
    if (lines.length === 0) region.clear();
    else region(lines.map(painted).join("\n"));
    if (view.running.size === 0) {
      clearInterval(timer);
      timer = undefined;
    } else timer ??= setInterval(draw, redrawMs).unref();
  };
  const close = (): void => {
    clearInterval(timer);
    region.done();
  };
  return {
    begin: () => {},
    update(status, delta) {
      const lines: RunLine[] = [];
      for (const event of reader.read(status, delta)) {
        const step = addEvent(view, event);
        view = step.view;
        lines.push(...step.lines);
      }
      if (lines.length > 0) region.persist(lines.map(painted).join("\n"));
      draw();
    },
    finish(status) {
      close();
      stdout.write(`${mask(summarize(status, paint))}\n`);
    },
    close,
  };
}
