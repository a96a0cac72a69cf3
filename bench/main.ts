// `pnpm bench [suite [part …] …]`: everything without a name. Exit code 1 when an aim is missed. `pnpm bench table`: README.md's table,
// of the results that are there.
import type { Parts } from "./parts.ts";
import { figureLine, judge, table, writeResult, type Judged } from "./report.ts";

const suites: Readonly<Record<string, () => Promise<Parts>>> = {
  job: async () => ({ ...(await import("./job/job.ts")).job(), ...(await import("./job/temporal.ts")).temporal() }),
  peers: async () => (await import("./peers/peers.ts")).peers(),
  sessions: async () => (await import("./sessions/sessions.ts")).sessions(),
  start: async () => (await import("./start/start.ts")).start(),
  recovery: async () => (await import("./recovery/recovery.ts")).recovery(),
  server: async () => (await import("./server/server.ts")).server(),
  scaling: async () => (await import("./scaling/scaling.ts")).scaling(),
  sandbox: async () => (await import("./sandbox/sandbox.ts")).sandbox(),
};

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

if (process.argv[2] === "table") {
  await (await import("./results.ts")).writeTable();
  process.exit();
}

let missed = false;
for (const [suite, names] of asked(process.argv.slice(2))) {
  const parts = (await suites[suite]?.()) ?? {};
  const unknown = names.filter((name) => !(name in parts));
  if (unknown.length > 0)
    refuse(`${suite} has no part ${unknown.join(", ")}; it has: ${Object.keys(parts).join(", ")}.`);
  const lacking = Object.entries(parts).flatMap(([name, part]) => ("lacks" in part ? [{ name, ...part }] : []));
  for (const { name, lacks } of lacking) {
    const need = `it needs ${lacks} ("How it is measured" in bench/README.md)`;
    if (names.includes(name)) refuse(`${suite} ${name} can't be measured here: ${need}.`);
    if (names.length === 0) console.log(`${suite} ${name} is left out: ${need}.`);
  }
  const figures: Judged[] = [];
  for (const name of names.length > 0 ? names : Object.keys(parts)) {
    const part = parts[name];
    if (part === undefined || "lacks" in part) continue;
    const measured = await part().catch((error: unknown) => failed(`${suite} ${name}`, error));
    if (measured === undefined) continue;
    const judged = [measured].flat().map(judge);
    figures.push(...judged);
    missed ||= judged.some(({ met }) => !met);
    console.log(`${judged.map(figureLine).join("\n")}\n${await writeResult(`${suite}.${name}`, judged)}\n`);
  }
  console.log(table(figures));
}
if (missed) process.exitCode = 1;

/** Which parts of which suites: a suite without parts stands for all of them. */
function asked(words: readonly string[]): ReadonlyMap<string, readonly string[]> {
  if (words.length === 0) return new Map(Object.keys(suites).map((suite) => [suite, []]));
  const found = new Map<string, string[]>();
  let parts: string[] | undefined;
  for (const word of words) {
    if (word in suites) found.set(word, (parts = []));
    else if (parts === undefined) refuse(`There is no suite ${word}; there are: ${Object.keys(suites).join(", ")}.`);
    else parts.push(word);
  }
  return found;
}

/** What could not be measured is no aim that was met, and no reason not to measure the rest. */
function failed(part: string, error: unknown): undefined {
  missed = true;
  console.error(
    `${part} was not measured: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
}

function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}
