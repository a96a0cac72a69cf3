// Loaded before a program (`--import`): at SIGUSR2 it collects its garbage, and writes what lives then to the file that
// STIGMER_BENCH_LIVE names.
import { renameSync, writeFileSync } from "node:fs";

const file = process.env["STIGMER_BENCH_LIVE"] ?? "";

process.on("SIGUSR2", () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  // Whole, or not at all: somebody waits for it.
  writeFileSync(`${file}.new`, String(heapUsed + external));
  renameSync(`${file}.new`, file);
});
