import { createInterface } from "node:readline";
import type { CommandIo } from "../../command-io.ts";

/** What is said, line by line. */
export interface LineReader {
  /** The next line, or undefined when there is none any more. */
  next(): Promise<string | undefined>;
  close(): void;
}

const prompt = "› ";

/**
 * Lines from a terminal, with editing and a history, or from a pipe. A terminal is let go between the lines, so that others can
 * ask there and Ctrl-C is a signal again.
 */
export function readLines(io: Pick<CommandIo, "stdin" | "stderr">): LineReader {
  return io.stdin.isTTY === true ? fromTerminal(io) : fromPipe(io);
}

function fromTerminal({ stdin, stderr }: Pick<CommandIo, "stdin" | "stderr">): LineReader {
  let history: string[] = [];
  return {
    next: () =>
      new Promise((resolve) => {
        const terminal = createInterface({ input: stdin, output: stderr, prompt, history, historySize: 1_000 });
        let line: string | undefined;
        terminal.on("history", (lines) => (history = [...lines]));
        terminal.on("SIGINT", () => {
          stderr.write("\n/exit or Ctrl-D ends the chat.\n");
          terminal.write(null, { ctrl: true, name: "u" });
          terminal.prompt();
        });
        terminal.once("line", (text) => {
          line = text;
          terminal.close();
        });
        terminal.once("close", () => {
          if (line === undefined) stderr.write("\n");
          resolve(line);
        });
        terminal.prompt();
      }),
    close: () => {},
  };
}

function fromPipe({ stdin }: Pick<CommandIo, "stdin">): LineReader {
  const terminal = createInterface({ input: stdin, terminal: false });
  const lines = terminal[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { done, value } = await lines.next();
      return done === true ? undefined : value;
    },
    close: () => terminal.close(),
  };
}
