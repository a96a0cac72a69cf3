import type { Readable, Writable } from "node:stream";

/** A stream that may be a terminal. */
export type InputStream = Readable & { readonly isTTY?: boolean };
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

/** All that a command knows of the process it runs in. Results go to `stdout`, everything else to `stderr`. */
export interface CommandIo {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the user's relative paths are relative to. */
  readonly cwd: string;
  /** While a listener is there, Ctrl-C and SIGTERM don't end the process. Returns how to stop listening. */
  readonly onSignal: (listener: (signal: "SIGINT" | "SIGTERM") => void) => () => void;
}

/** A command's body. A number that it returns is the exit code; none is 0. It fails by throwing, best a `CliError`. */
export type Command<Options> = (options: Options, io: CommandIo) => Promise<number | void>;
