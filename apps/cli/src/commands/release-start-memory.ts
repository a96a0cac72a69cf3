import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type CollectGarbage = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/** Whoever waited for the start gets the first answers before this process stops for it. */
const AFTER_MS = 1_000;

/**
 * Gives back what starting took: V8 keeps a heap as large as it once was for as long as nothing presses it, and loading a program is
 * the most that one which then waits ever does. Takes some 50 ms, once. Answers with what calls it off.
 */
export function releaseStartMemory(): () => void {
  const timer = setTimeout(() => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as CollectGarbage;
    // A plain collection empties the heap, and keeps its pages.
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
    setFlagsFromString("--no-expose-gc");
  }, AFTER_MS);
  timer.unref();
  return () => clearTimeout(timer);
}
