import { collectGarbage } from "@stigmer/config/node-process";

/** Whoever waited for the start gets the first answers before this process stops for it. */
const AFTER_MS = 1_000;

/**
 * Gives back what starting took: V8 keeps a heap as large as it once was for as long as nothing presses it, and loading a program is
 * the most that one which then waits ever does. Takes some 50 ms, once. Answers with what calls it off.
 */
export function releaseStartMemory(): () => void {
  const timer = setTimeout(() => {
    // A plain collection empties the heap, and keeps its pages.
    collectGarbage({ type: "major", execution: "sync", flavor: "last-resort" });
  }, AFTER_MS);
  timer.unref();
  return () => clearTimeout(timer);
}
