// What is kept in memory alone must not be written down when a process dies: no core file, no heap snapshot, no report with
// the environment in it. What a user's shell asks of Node for other programs doesn't hold for those that have the keys.

/** Writes memory or the environment to a file, under one name or another. */
const DUMPS = /^--(no-)?(heapsnapshot|report|experimental-report)\b/;
// Any process of the same user, such as an agent's command, opens Node's debugger with that signal, and reads the memory through it.
const NO_DEBUGGER = "--disable-sigusr1";

/** Node's own arguments for a process of the daemon. `args` are those of this process. */
export function nodeArguments(args: readonly string[] = process.execArgv): string[] {
  return [...withoutDumps(args).filter((arg) => arg !== NO_DEBUGGER), NO_DEBUGGER];
}

/** The environment, in which Node is not told to write dumps. */
export function withoutDumpOptions(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const { NODE_OPTIONS: options, ...others } = env;
  // Words as Node reads them: divided by blanks, those in quotes not.
  const kept = withoutDumps(options?.match(/(?:"(?:\\.|[^"\\])*"|[^\s"])+/g) ?? []);
  return kept.length === 0 ? others : { ...others, NODE_OPTIONS: kept.join(" ") };
}

function withoutDumps(words: readonly string[]): string[] {
  let dropped = false;
  return words.filter((word) => {
    // What follows an option without being one is its value.
    if (word.startsWith("-")) dropped = DUMPS.test(word.replaceAll("_", "-"));
    return !dropped;
  });
}

/** How a program is started so that the system writes no core file of it. Its process id is the one that is spawned. */
export function withoutCore(
  command: string,
  args: readonly string[],
  platform: NodeJS.Platform = process.platform,
): [command: string, args: string[]] {
  if (platform === "win32") return [command, [...args]];
  // Node can't set limits of its own. Only the soft one: an agent's command that wants a core file may ask for it.
  return ["/bin/sh", ["-c", 'ulimit -S -c 0; exec "$0" "$@"', command, ...args]];
}
