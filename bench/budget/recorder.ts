// Loaded before a program (`--import`): counts what the program loads and what it asks SQLite. SIGUSR2 writes the counts to the file that
// STIGMER_BENCH_COUNTS names, and so does the program's end.
import { renameSync, writeFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { DatabaseSync, StatementSync } from "node:sqlite";

const file = process.env["STIGMER_BENCH_COUNTS"] ?? "";
const counts = { modules: 0, statements: 0, boundBytes: 0 };

registerHooks({
  load(url, context, next) {
    if (!url.startsWith("node:")) counts.modules += 1;
    return next(url, context);
  },
});

type Method = (this: unknown, ...args: unknown[]) => unknown;

function counted(prototype: object, name: string): void {
  const methods = prototype as Record<string, Method>;
  const original = methods[name];
  if (original === undefined) throw new Error(`node:sqlite has no ${name} any more.`);
  methods[name] = function (...args) {
    counts.statements += 1;
    // What only reads binds ids and numbers, which weigh nothing beside what is written.
    counts.boundBytes += args.reduce<number>((sum, arg) => sum + bytesOf(arg), 0);
    return original.apply(this, args);
  };
}

function bytesOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== "object" || value === null) return 8;
  return Object.values(value).reduce<number>((sum, each) => sum + bytesOf(each), 0);
}

for (const name of ["run", "get", "all", "iterate"]) counted(StatementSync.prototype, name);
counted(DatabaseSync.prototype, "exec");

const write = (): void => {
  // Whole, or not at all: somebody waits for it.
  writeFileSync(`${file}.new`, JSON.stringify(counts));
  renameSync(`${file}.new`, file);
};
process.on("SIGUSR2", write);
process.on("exit", write);
