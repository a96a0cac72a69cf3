// Loaded before a program (`--import`): counts what the program loads, what it asks SQLite, what it sends over HTTP/2, and what it
// allocates. SIGUSR2 writes the counts to the file that STIGMER_BENCH_COUNTS names, and so does the program's end.
import { renameSync, writeFileSync } from "node:fs";
import { type HeapProfiler, Session } from "node:inspector";
import { registerHooks } from "node:module";
import { DatabaseSync, StatementSync } from "node:sqlite";
import { Duplex } from "node:stream";

const file = process.env["STIGMER_BENCH_COUNTS"] ?? "";
const counts = {
  modules: 0,
  statements: 0,
  boundBytes: 0,
  messages: 0,
  sentBytes: 0,
  allocatedBytes: 0,
  collections: 0,
};

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

/** Of a gRPC stream each write is a message: its length, and what it says. */
for (const name of ["write", "end"]) {
  const methods = Duplex.prototype as unknown as Record<string, Method>;
  const original = methods[name];
  if (original === undefined) throw new Error(`node:stream has no ${name} any more.`);
  methods[name] = function (...args) {
    const [chunk] = args;
    if (ArrayBuffer.isView(chunk) && this?.constructor.name.endsWith("Http2Stream")) {
      counts.messages += 1;
      counts.sentBytes += chunk.byteLength;
    }
    return original.apply(this, args);
  };
}

/** An estimate by samples, of what was allocated and is or is no more: to a few percent of some megabytes. */
const profiler = new Session();
profiler.connect();
profiler.post("HeapProfiler.startSampling", {
  samplingInterval: 8_192,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
});

function allocatedBytes(): number {
  let sum = 0;
  const add = ({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): void => {
    sum += selfSize;
    for (const child of children) add(child);
  };
  profiler.post("HeapProfiler.getSamplingProfile", (error, answer) => {
    if (error !== null) throw error;
    add(answer.profile.head);
  });
  return sum;
}

const write = (): void => {
  counts.allocatedBytes = allocatedBytes();
  // Whole, or not at all: somebody waits for it.
  writeFileSync(`${file}.new`, JSON.stringify(counts));
  renameSync(`${file}.new`, file);
};
process.on("SIGUSR2", write);
process.on("exit", write);
