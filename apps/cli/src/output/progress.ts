import type { CommandIo } from "../command-io.ts";
import { sizedTerminal } from "./sized-terminal.ts";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 80;
/** What is done sooner needs no progress, and loads nothing for it. */
const PATIENCE_MS = 250;

/** Changes what is said to be under way. */
export type Tell = (text: string) => void;

type ProgressIo = Pick<CommandIo, "stderr" | "env">;

/** Whether anything is drawn at all. */
export function showsProgress({ stderr, env }: ProgressIo): boolean {
  return stderr.isTTY === true && env["TERM"] !== "dumb" && !env["CI"];
}

/**
 * Does `work`, and shows on a terminal's stderr that it is under way, as one line that is gone when it ends. In a pipe
 * nothing is shown. `work` itself writes nothing to the terminal meanwhile.
 */
export async function withProgress<T>(
  { stderr, env }: ProgressIo,
  text: string,
  work: (tell: Tell) => Promise<T>,
): Promise<T> {
  let said = text;
  if (!showsProgress({ stderr, env })) return work(() => {});
  let line: { (text: string): void; clear(): void; done(): void } | undefined;
  let frames: NodeJS.Timeout | undefined;
  let ended = false;
  const show = async (): Promise<void> => {
    const { createLogUpdate } = await import("log-update");
    if (ended) return;
    const update = (line = createLogUpdate(sizedTerminal(stderr)));
    let frame = 0;
    const draw = (): void => update(`${FRAMES[frame++ % FRAMES.length]} ${said}`);
    draw();
    frames = setInterval(draw, FRAME_MS);
  };
  const patience = setTimeout(() => void show(), PATIENCE_MS);
  try {
    return await work((next) => void (said = next));
  } finally {
    ended = true;
    clearTimeout(patience);
    clearInterval(frames);
    line?.clear();
    line?.done();
  }
}
