import { createPaint } from "../colors.ts";
import { paintLine } from "./paint-line.ts";
import { createRunReader } from "./run-events.ts";
import { addEvent, closeText, emptyView, type RunLine, type RunView } from "./run-lines.ts";
import type { Mask, PrinterIo, RunPrinter } from "./run-printer.ts";
import { LONGEST_ERROR, summarize } from "./run-summary.ts";

/** Whole lines, each once: what the agent says to stdout, all else to stderr. */
export function createPlainPrinter({ stdout, stderr, env }: PrinterIo, mask: Mask): RunPrinter {
  const reader = createRunReader({ errorsUpTo: LONGEST_ERROR });
  const paints = { stdout: createPaint(stdout, env), stderr: createPaint(stderr, env) };
  let view: RunView = emptyView;
  const write = (line: RunLine): void => {
    const target = line.kind === "text" ? "stdout" : "stderr";
    const text = mask(paintLine(line, paints[target]));
    (target === "stdout" ? stdout : stderr).write(`${text}\n`);
  };
  return {
    begin: () => {},
    update(status, delta) {
      for (const event of reader.read(status, delta)) {
        const step = addEvent(view, event);
        view = step.view;
        step.lines.forEach(write);
      }
    },
    hold: () => {},
    release: () => {},
    finish: (status) => void stderr.write(`${mask(summarize(status, paints.stderr))}\n`),
    close() {
      const step = closeText(view);
      view = step.view;
      step.lines.forEach(write);
    },
  };
}
