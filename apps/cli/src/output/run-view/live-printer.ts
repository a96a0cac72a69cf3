import { type AgentExecutionStatus, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import { createPaint } from "../colors.ts";
import { formatDuration } from "../durations.ts";
import { wrapLines } from "../markdown/render-markdown.ts";
import { createLiveRegion } from "./live-region.ts";
import { createLiveView } from "./live-view.ts";
import { fitParts, frameMs, type LiveStyle, paintBlocks, paintLive, spin } from "./paint-live.ts";
import { createRunReader } from "./run-events.ts";
import type { Mask, PrinterIo, RunPrinter } from "./run-printer.ts";
import { LONGEST_ERROR, showUse, summarize } from "./run-summary.ts";

/** Everything to the terminal: what is final scrolls away, what still changes is drawn anew below it. */
export function createLivePrinter({ stdout, env }: PrinterIo, mask: Mask): RunPrinter {
  const reader = createRunReader({ errorsUpTo: LONGEST_ERROR });
  const view = createLiveView(mask);
  const region = createLiveRegion(stdout);
  const paint = createPaint(stdout, env);
  const openedAt = Date.now();
  let status: AgentExecutionStatus | undefined;
  let last: Parameters<typeof paintBlocks>[2];
  /** Who writes to the terminal now. */
  let holders = 0;
  let isOpen = false;
  let next: NodeJS.Timeout | undefined;

  const styleNow = (): LiveStyle => ({
    paint,
    width: stdout.columns ?? 80,
    height: stdout.rows ?? 24,
    now: Date.now(),
  });

  /** `withoutLive` leaves only what is final on the screen. */
  function draw({ withoutLive = false } = {}): void {
    clearTimeout(next);
    next = undefined;
    const style = styleNow();
    const { blocks, live } = view.take();
    const painted = paintBlocks(blocks, style, last);
    last = painted.last;
    const isOver = withoutLive || status === undefined || isTerminal(status.phase);
    const statusLine = isOver || status === undefined ? "" : showStanding(status, { style, openedAt });
    region.draw(painted.lines, isOver ? [] : paintLive(live, style, { status: statusLine, before: last }));
    // Durations go on, and the spinner turns.
    if (!isOver) next = setTimeout(draw, frameMs).unref();
  }

  const drawUnlessHeld = (): void => {
    if (holders === 0 && isOpen) draw();
  };

  function open(): void {
    if (isOpen) return;
    isOpen = true;
    stdout.on("resize", drawUnlessHeld);
  }

  function close(): void {
    if (!isOpen) return;
    isOpen = false;
    stdout.off("resize", drawUnlessHeld);
    view.closeText();
    draw({ withoutLive: true });
  }

  return {
    begin: () => {},
    update(current, delta) {
      open();
      status = current;
      for (const event of reader.read(current, delta)) view.add(event);
      // Many updates share a frame.
      if (holders === 0) next ??= setTimeout(draw, frameMs / 3);
    },
    hold() {
      holders++;
      draw({ withoutLive: true });
    },
    release() {
      holders--;
      last = "notice";
      drawUnlessHeld();
    },
    finish(ended) {
      close();
      const lines = summarize(ended, paint).split("\n");
      const { width } = styleNow();
      stdout.write(
        `${[...(last === undefined ? [] : [""]), ...lines.flatMap((line) => wrapLines(mask(line), width))].join("\n")}\n`,
      );
    },
    close,
  };
}

/** `⠋ Working · 12.3 s · 11,345 tokens · about $0.02`. */
function showStanding(
  { phase, startedAt, usage }: AgentExecutionStatus,
  { style, openedAt }: { readonly style: LiveStyle; readonly openedAt: number },
): string {
  const begunAt = Date.parse(startedAt);
  const elapsed = formatDuration(style.now - (Number.isNaN(begunAt) ? openedAt : begunAt));
  const [word, sign] = standings[phase] ?? ["Working", spin(style)];
  return `${style.paint("cyan", sign)} ${style.paint("dim", fitParts([word, elapsed, ...showUse(usage)], style.width - 2))}`;
}

const standings: Readonly<Partial<Record<ExecutionPhase, readonly [word: string, sign: string]>>> = {
  [ExecutionPhase.EXECUTION_PENDING]: ["Waits for its turn", "·"],
  [ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL]: ["Waits for approval", "‖"],
  [ExecutionPhase.EXECUTION_PAUSED]: ["Paused", "‖"],
};
