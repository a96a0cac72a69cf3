import { createLogUpdate } from "log-update";
import stringWidth from "string-width";
import type { OutputStream } from "../../command-io.ts";

/** The bottom of a terminal, which is drawn anew while what is above it stays and scrolls away. */
export interface LiveRegion {
  /** Writes `above` for good and draws `lines` below it, in one go: a terminal shows both or neither. */
  draw(above: readonly string[], lines: readonly string[]): void;
}

const beginFrame = "\u001B[?2026h";
const endFrame = "\u001B[?2026l";
const eraseLineAndGoUp = "\u001B[2K\u001B[1A";

export function createLiveRegion(stdout: OutputStream): LiveRegion {
  let frame = "";
  // log-update writes what has changed in pieces; they are gathered here.
  const gathered = {
    isTTY: false,
    get columns() {
      return stdout.columns;
    },
    get rows() {
      return stdout.rows;
    },
    write: (text: string) => {
      frame += text;
      return true;
    },
  };
  // The cursor stays: hiding it would put handlers on the process's signals, which are the command's to handle.
  const region = createLogUpdate(gathered as unknown as NodeJS.WriteStream, { showCursor: true });
  let drawn: readonly string[] = [];
  let drawnColumns = stdout.columns;

  /** A terminal that got narrower has broken the lines that were drawn, and they take more rows now. */
  function eraseOverflow(): void {
    const { columns = 80 } = stdout;
    if (columns < (drawnColumns ?? columns)) {
      const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(stringWidth(line) / columns)), 0);
      frame += eraseLineAndGoUp.repeat(rows - drawn.length);
    }
    drawnColumns = stdout.columns;
  }

  return {
    draw(above, lines) {
      eraseOverflow();
      if (above.length > 0) region.persist(above.join("\n"));
      if (lines.length > 0) region(lines.join("\n"));
      else if (above.length === 0 && drawn.length > 0) region.clear();
      drawn = lines;
      if (frame !== "") stdout.write(`${beginFrame}${frame}${endFrame}`);
      frame = "";
    },
  };
}
