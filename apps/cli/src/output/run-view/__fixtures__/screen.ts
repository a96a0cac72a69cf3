// A terminal without a window: what a person would see of what is written to it.
import { PassThrough } from "node:stream";
import headless from "@xterm/headless";
import type { OutputStream } from "../../../command-io.ts";

export interface Screen {
  readonly stdout: OutputStream;
  /** All that was written, with its escape sequences. */
  raw(): string;
  /** The rows on the screen, without empty ones at the end. */
  rows(): Promise<string[]>;
  /** As `rows`, with what has scrolled away above them. */
  history(): Promise<string[]>;
  /** Resolves when the screen shows this. */
  shows(text: string | RegExp): Promise<void>;
  resize(columns: number, rows: number): void;
}

export function openScreen(columns: number, rows: number): Screen {
  const terminal = new headless.Terminal({ cols: columns, rows, scrollback: 10_000, allowProposedApi: true, convertEol: true });
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns, rows });
  let raw = "";
  stdout.setEncoding("utf8").on("data", (text: string) => {
    raw += text;
    terminal.write(text);
  });
  const read = (from: number): string[] => {
    const { buffer } = terminal;
    const lines = Array.from({ length: buffer.active.length - from }, (_, at) =>
      (buffer.active.getLine(from + at)?.translateToString(true) ?? "").trimEnd(),
    );
    return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1);
  };
  /** What was written so far has been taken in. */
  const settled = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => terminal.write("", resolve));
  };
  const screen: Screen = {
    stdout,
    raw: () => raw,
    rows: async () => {
      await settled();
      return read(terminal.buffer.active.baseY);
    },
    history: async () => {
      await settled();
      return read(0);
    },
    shows: (wanted) =>
      new Promise((resolve) => {
        const check = (): void => {
          const text = read(terminal.buffer.active.baseY).join("\n");
          if (typeof wanted === "string" ? !text.includes(wanted) : !wanted.test(text)) return;
          subscription.dispose();
          resolve();
        };
        const subscription = terminal.onWriteParsed(check);
        check();
      }),
    resize(columns, rows) {
      terminal.resize(columns, rows);
      Object.assign(stdout, { columns, rows });
      stdout.emit("resize");
    },
  };
  return screen;
}
