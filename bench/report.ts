// What every suite tells, and in which form: samples as they were, medians, and each figure against its aim.
import { mkdir, writeFile } from "node:fs/promises";
import { arch, cpus, loadavg, platform, totalmem } from "node:os";
import { join } from "node:path";

export interface Figure {
  readonly name: string;
  /** In milliseconds, in the order they were taken. */
  readonly samples: readonly number[];
  /** What `samples` are held against: taken in the same run, in turns with them, or a limit that was configured. */
  readonly baseline: { readonly name: string; readonly samples: readonly number[] };
  /** The most that the figure may be above its baseline, at the median. */
  readonly aimMs: number;
  /** Where the time goes, as far as it was taken: of each name the samples, in milliseconds. They may overlap. */
  readonly spans?: Readonly<Record<string, readonly number[]>>;
}

export interface Judged extends Figure {
  readonly p50: number;
  readonly p95: number;
  readonly baselineP50: number;
  /** Median above the baseline's median. */
  readonly aboveMs: number;
  readonly ratio: number;
  readonly met: boolean;
}

export function judge(figure: Figure): Judged {
  const p50 = quantile(figure.samples, 0.5);
  const baselineP50 = quantile(figure.baseline.samples, 0.5);
  const aboveMs = p50 - baselineP50;
  return {
    ...figure,
    p50,
    p95: quantile(figure.samples, 0.95),
    baselineP50,
    aboveMs,
    ratio: p50 / baselineP50,
    met: aboveMs <= figure.aimMs,
  };
}

/** The sample below which this part of them lies; of two neighbours the upper one. */
function quantile(samples: readonly number[], part: number): number {
  if (samples.length === 0) throw new Error("There are no samples: the suite measured nothing.");
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

const ms = (value: number): string => value.toFixed(value < 100 ? 2 : 0);

/** One figure in words, with where its time goes. */
export function figureLine({ name, p50, p95, baseline, baselineP50, aboveMs, aimMs, met, spans = {} }: Judged): string {
  const verdict = `${met ? "met" : "missed"}: + ${ms(aboveMs)} ms of + ${ms(aimMs)} ms`;
  const parts = Object.entries(spans).map(
    ([part, samples]) => `  ${part}: p50 ${ms(quantile(samples, 0.5))}, p95 ${ms(quantile(samples, 0.95))} ms`,
  );
  return [
    `${name}: p50 ${ms(p50)}, p95 ${ms(p95)} ms; ${baseline.name}: ${ms(baselineP50)} ms; ${verdict}`,
    ...parts,
  ].join("\n");
}

export function table(figures: readonly Judged[]): string {
  const rows = figures.map(({ name, p50, p95, baseline, baselineP50, aboveMs, aimMs, ratio, met }) =>
    [
      name,
      `${ms(p50)} / ${ms(p95)}`,
      `${baseline.name}: ${ms(baselineP50)}`,
      `${ratio.toFixed(2)} ×, ${aboveMs < 0 ? "" : "+ "}${ms(aboveMs)}`,
      `+ ≤ ${ms(aimMs)}`,
      met ? "met" : "missed",
    ].join(" | "),
  );
  return [
    "| figure | p50 / p95, ms | baseline, p50 ms | against it, ms | aim, ms | |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row} |`),
  ].join("\n");
}

/** Writes a figure with its samples, and what they were taken on, to `results/<name>.json`. */
export async function writeResult(name: string, figure: Judged): Promise<string> {
  const folder = join(import.meta.dirname, "results");
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  const [cpu] = cpus();
  const machine = {
    platform: platform(),
    arch: arch(),
    cpus: cpus().length,
    cpu: cpu?.model ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    /** Over the last minute: above the number of CPUs, others were in the way. */
    load: loadavg()[0],
    node: process.version,
  };
  await writeFile(file, `${JSON.stringify({ name, takenAt: new Date().toISOString(), machine, figure }, null, 2)}\n`);
  return file;
}
