// What a program looks at before it loads anything else, on whatever Node it was started: so this imports nothing but what each has.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const OLDEST = [22, 18] as const;

/** Of a Node that is too old; `line` is what a program says that ends because of it. */
export interface UnfitNode {
  readonly problem: string;
  readonly fix: string;
  readonly line: string;
}

/** What to do about a Node that is too old; undefined when it is not. */
export function whyNodeIsUnfit(version: string): UnfitNode | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined;
  const problem = `${version} is too old`;
  const fix = `install Node.js ${OLDEST.join(".")} or newer (https://nodejs.org)`;
  return { problem, fix, line: `Node.js ${problem}: ${fix}` };
}

/**
 * Node 22 says of `node:sqlite` that it is experimental, in the middle of what its users read. It has what we use of it since 22.13, and
 * they can do nothing about it. To be called before anything loads it; every other warning is passed on.
 */
export function hideSqliteWarning(process: Pick<NodeJS.Process, "emitWarning">): void {
  const emit = process.emitWarning.bind(process) as (...args: readonly unknown[]) => void;
  process.emitWarning = (...args: readonly unknown[]): void => {
    const [warning] = args;
    const text = warning instanceof Error ? warning.message : String(warning);
    if (!text.startsWith("SQLite is an experimental feature")) emit(...args);
  };
}

/** Percent of what lives. On 24 GB V8 would take up to 300, to collect less often. */
const HEAP_GROWTH = 60;

/**
 * Has V8 collect garbage before it asks the system for much more than what lives. By itself it takes a large machine for its own, where a
 * server and a runner share one with what people work on. With 60 %, both together hold a fifth to a quarter less, at no cost that a
 * measurement showed. To be called before there is much to collect.
 */
export function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH}`);
}

/**
 * Has V8 collect what is new when its room is full. By itself it does so at the first pause once four fifths of that are, which what a run
 * makes fills shortly before its end: it would wait for it. For a program that collects when there is nothing to do ({@link collectGarbage}).
 */
export function collectWhenFull(): void {
  setFlagsFromString("--no-minor-gc-task");
}

/**
 * Node's arguments for processes that share a laptop with what people work on. V8 gives what is new up to three times 32 MiB, and what the
 * steps of a run make lives just long enough to fill them: with 8, server and runner together hold a third less, for some 5 % of their CPU
 * under full load. A runner has 16, for some 30 MiB: two runs one after the other fit, and the second one waits for no collection.
 */
export const heapArguments: Readonly<Record<"server" | "runner", readonly string[]>> = {
  server: ["--max-semi-space-size=8"],
  runner: ["--max-semi-space-size=16"],
};

/** V8's own, by its own words: see `gc` of `node --expose-gc`. */
type CollectGarbage = (
  options:
    | { readonly type: "minor"; readonly execution: "sync" }
    | { readonly type: "major"; readonly execution: "sync"; readonly flavor: "last-resort" },
) => void;

let collector: CollectGarbage | undefined;

/** Collects garbage now, for a program that knows that nobody waits for it: otherwise V8 does when there is enough of it. */
export const collectGarbage: CollectGarbage = (options) => {
  if (collector === undefined) {
    // Only contexts that are made while the flag is set have it.
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as CollectGarbage;
    setFlagsFromString("--no-expose-gc");
  }
  collector(options);
};
