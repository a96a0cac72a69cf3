// `results/` → the table of bench/README.md.
import { glob, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { table, type Judged, type Machine } from "./report.ts";

interface Result {
  readonly name: string;
  readonly takenAt: string;
  readonly machine: Machine;
  readonly figures: readonly Judged[];
}

const README = join(import.meta.dirname, "README.md");
const MARKS = ["<!-- results -->", "<!-- end of results -->"] as const;

/** Writes the table between the marks of README.md. */
export async function writeTable(): Promise<void> {
  const [before, rest = ""] = (await readFile(README, "utf8")).split(MARKS[0]);
  const after = rest.split(MARKS[1])[1];
  if (after === undefined) throw new Error(`${README} has no ${MARKS.join(" and ")}.`);
  const text = [MARKS[0], "", tableOf(await readResults()), "", MARKS[1]].join("\n");
  await writeFile(README, `${before}${text}${after}`);
}

async function readResults(): Promise<readonly Result[]> {
  const folder = join(import.meta.dirname, "results");
  const files = (await Array.fromAsync(glob("*.json", { cwd: folder }))).toSorted();
  return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), "utf8")) as Result));
}

/** One row for each figure, and below it on what they were taken. */
function tableOf(results: readonly Result[]): string {
  if (results.length === 0) return "None are kept yet.";
  const rows = results.flatMap(({ name, figures }) =>
    figures.map((figure) => ({ ...figure, name: `${name}: ${figure.name}` })),
  );
  const machines = Map.groupBy(results, ({ machine: { platform, cpus, cpu, memoryGiB, node } }) =>
    [`${cpus} × ${cpu}`, `${memoryGiB} GiB`, platform, `Node ${node}`].join(", "),
  );
  const where = [...machines].map(([machine, taken]) => {
    const each = taken.map(
      ({ name, takenAt, machine: { load } }) => `${name} ${takenAt.slice(0, 10)} (${load.toFixed(1)})`,
    );
    return `- ${machine}; when, and the load that it had at the end: ${each.join(", ")}.`;
  });
  return [table(rows), "", ...where].join("\n");
}
