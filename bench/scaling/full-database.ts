// The store's own questions to a Postgres of a million runs, a hundred thousand of which wait, against one of ten thousand.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Figure } from "../report.ts";
import { postgresUrl } from "./postgres-url.ts";

const [FULL, SMALL] = [
  { runs: 1_000_000, waiting: 100_000 },
  { runs: 10_000, waiting: 1_000 },
];

const MEASURE = fileURLToPath(
  new URL("../../packages/server/src/store/postgres/__fixtures__/measure-scale.ts", import.meta.url),
);

interface Measured {
  readonly medianMs: Readonly<Record<string, number>>;
  readonly bytesPerRun: Readonly<Record<string, number>>;
}

export async function fullDatabase(): Promise<readonly Figure[]> {
  const [full, small] = [await measure(FULL), await measure(SMALL)];
  const against = (samples: number[]) => ({ name: `with ${SMALL.runs} runs`, samples });
  return [
    ...Object.entries(full.medianMs).map(([name, ms]) => ({
      name: `${name}, with ${FULL.runs} runs, ${FULL.waiting} of them waiting`,
      samples: [ms],
      baseline: against([small.medianMs[name] ?? Number.NaN]),
    })),
    ...Object.entries(full.bytesPerRun).map(([table, bytes]) => ({
      name: `${table}, with its indexes, for each run`,
      unit: "B",
      samples: [bytes],
      baseline: against([small.bytesPerRun[table] ?? Number.NaN]),
    })),
  ];
}

async function measure({ runs, waiting }: { runs: number; waiting: number }): Promise<Measured> {
  const args = ["--conditions=@stigmer/source", MEASURE, String(runs), String(waiting)];
  const env = { ...process.env, STIGMER_TEST_POSTGRES_URL: postgresUrl() };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout) as Measured;
}
