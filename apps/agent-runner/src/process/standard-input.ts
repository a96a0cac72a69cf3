import type { Readable } from "node:stream";
import { parseSecrets } from "@stigmer/config";

/** A standard input that begins with the secrets, on a line of their own, and then stays open for as long as its writer lives. */
export interface StandardInput {
  /** Rejects when the line is no JSON object of strings. */
  readonly secrets: Promise<Record<string, string>>;
  /** Called when the writer is gone. */
  onGone(listener: () => void): void;
  /** Lets the process end although the input is open. */
  close(): void;
}

/** How a runner in a container is tied to its daemon: no channel and no other file descriptor reaches in there. */
export function listenToStandardInput(stdin: Readable): StandardInput {
  let line = "";
  const first = Promise.withResolvers<string>();
  const gone = Promise.withResolvers<void>();
  const over = (): void => {
    first.resolve(line);
    gone.resolve();
  };
  const take = (text: string): void => {
    line += text;
    const end = line.indexOf("\n");
    if (end < 0) return;
    first.resolve(line.slice(0, end));
    line = "";
    stdin.off("data", take).resume();
  };
  stdin.setEncoding("utf8").on("data", take);
  stdin.once("end", over).once("close", over).once("error", over);
  return {
    secrets: first.promise.then(parseSecrets),
    onGone: (listener) => void gone.promise.then(listener),
    close: () => void stdin.destroy(),
  };
}
