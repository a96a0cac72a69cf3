import { spawn } from "node:child_process";

/** A process that a test has started and will kill. */
export interface Child {
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Starts a program and resolves with what `ready` found in its output. Throws when it ends before. */
export async function startChild(
  command: string,
  args: readonly string[],
  ready: RegExp,
): Promise<Child & { readonly found: readonly string[] }> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let gone = false;
  const exited = new Promise<void>((resolve) =>
    child.once("exit", () => {
      gone = true;
      resolve();
    }),
  );
  let output = "";
  const found = await new Promise<RegExpExecArray>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
        const match = ready.exec(output);
        if (match) resolve(match);
      });
    }
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`${command} ended before it was ready:\n${output}`)));
  });
  return {
    found: found.slice(1),
    async end(signal) {
      if (!gone) child.kill(signal);
      await exited;
    },
  };
}
