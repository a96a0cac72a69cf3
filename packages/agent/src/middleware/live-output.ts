/** A piece of a running command's output. */
export interface OutputPiece {
  readonly type: "output";
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** Gathers a command's output for watchers. */
export interface LiveOutput {
  add(stream: OutputPiece["stream"], text: string): void;
  end(): void;
  /** What has come since the last pieces, until the end; at once for the first, then every `intervalMs`. */
  pieces(): AsyncGenerator<OutputPiece, void>;
}

/** Characters that watchers are shown of one command; the result has the rest. */
const mostCharacters = 128 * 1024;

export function createLiveOutput({ intervalMs }: { intervalMs: number }): LiveOutput {
  let waiting: OutputPiece[] = [];
  let shown = 0;
  let ended = false;
  let wake = (): void => {};
  let hurry = (): void => {};
  const pause = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, intervalMs);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  return {
    add(stream, text) {
      if (shown >= mostCharacters) return;
      const piece = text.slice(0, mostCharacters - shown);
      shown += piece.length;
      const note = shown >= mostCharacters ? "\n[more output, in the result]\n" : "";
      const last = waiting.at(-1);
      if (last?.stream === stream) waiting[waiting.length - 1] = { ...last, text: last.text + piece + note };
      else waiting.push({ type: "output", stream, text: piece + note });
      wake();
    },
    end() {
      ended = true;
      hurry();
      wake();
    },
    async *pieces() {
      while (true) {
        if (waiting.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
        const batch = waiting;
        waiting = [];
        yield* batch;
        if (ended && waiting.length === 0) return;
        if (!ended) await pause();
      }
    },
  };
}
