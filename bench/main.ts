// `pnpm bench [suite …]`: all of them without a name. Exit code 1 when an aim is missed.
import { judge, table, writeResults, type Figure } from "./report.ts";

const suites: Readonly<Record<string, () => Promise<Figure[]>>> = {
  recovery: async () => (await import("./recovery/recovery.ts")).recovery(),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in suites));
if (unknown.length > 0) {
  console.error(`There is no suite ${unknown.join(", ")}; there are: ${Object.keys(suites).join(", ")}.`);
  process.exit(2);
}

for (const [name, run] of Object.entries(suites)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const figures = (await run()).map(judge);
  console.log(`\n${table(figures)}\n\n${await writeResults(name, figures)}`);
  if (figures.some(({ met }) => !met)) process.exitCode = 1;
}
