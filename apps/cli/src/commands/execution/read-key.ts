import { emitKeypressEvents } from "node:readline";
import type { InputStream } from "../../command-io.ts";

type RawStream = InputStream & { setRawMode?(raw: boolean): unknown };

export interface ReadKeyOptions {
  readonly stdin: InputStream;
  readonly signal: AbortSignal;
  /** Ctrl-C, which a terminal that sends single keys does not make a signal of. */
  readonly onInterrupt: () => void;
}

/** Waits for one of `keys` to be pressed. Rejects when `signal` is aborted. */
export function readKey(keys: readonly string[], { stdin, signal, onInterrupt }: ReadKeyOptions): Promise<string> {
  signal.throwIfAborted();
  const terminal: RawStream = stdin;
  emitKeypressEvents(stdin);
  terminal.setRawMode?.(true);
  return new Promise<string>((resolve, reject) => {
    const end = (): void => {
      stdin.off("keypress", onKey);
      signal.removeEventListener("abort", onAbort);
      terminal.setRawMode?.(false);
      stdin.pause();
    };
    const onAbort = (): void => {
      end();
      reject(signal.reason as Error);
    };
    const onKey = (_: string | undefined, { name = "", ctrl }: { name?: string; ctrl?: boolean }): void => {
      if (ctrl === true && (name === "c" || name === "d")) return onInterrupt();
      if (ctrl === true || !keys.includes(name)) return;
      end();
      resolve(name);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    stdin.on("keypress", onKey);
    stdin.resume();
  });
}
