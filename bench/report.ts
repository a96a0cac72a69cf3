// What every suite tells, and in which form: samples as they were, medians, and each figure against its aim.
import { mkdir, writeFile } from "node:fs/promises";
import { arch, cpus, loadavg, platform, totalmem } from "node:os";
import { join } from "node:path";

export interface Figure {
  readonly name: string;
  /** In `unit`, in the order they were taken. */
  readonly samples: readonly number[];
  /** What `samples` are held against: taken in the same run, in turns with them, or a limit that was configured. */
  readonly baseline: { readonly name: string; readonly samples: readonly number[] };
  /** What `samples` are in. Default `ms`. */
  readonly unit?: string;
  /** The most that the figure may be above its baseline, at the median. */
  readonly aimMs?: number;
  /** The same as a multiple of the baseline. Without either the figure is told, and held against nothing. */
  readonly aimRatio?: number;
  /** Where the time goes, as far as it was taken: of each name the samples, in `unit`. They may overlap. */
  readonly spans?: Readonly<Record<string, readonly number[]>>;
}

export interface Judged extends Figure {
  readonly p50: number;
  readonly p95: number;
  readonly baselineP50: number;
  /** Median above the baseline's median, in `unit`. */
  readonly aboveMs: number;
  readonly ratio: number;
  readonly met: boolean;
}

export function judge(figure: Figure): Judged {
  const p50 = quantile(figure.samples, 0.5);
  const baselineP50 = quantile(figure.baseline.samples, 0.5);
  const aboveMs = p50 - baselineP50;
  const ratio = p50 / baselineP50;
  const { aimMs = Number.POSITIVE_INFINITY, aimRatio = Number.POSITIVE_INFINITY } = figure;
  return {
    ...figure,
    p50,
    p95: quantile(figure.samples, 0.95),
    baselineP50,
    aboveMs,
    ratio,
    // Not by the ratio: of a baseline below nothing, that says the opposite.
    met: aboveMs <= aimMs && !(p50 > aimRatio * baselineP50),
  };
}

/** The sample below which this part of them lies; of two neighbours the upper one. */
export function quantile(samples: readonly number[], part: number): number {
  if (samples.length === 0) throw new Error("There are no samples: the suite measured nothing.");
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

const short = (value: number): string => value.toFixed(Math.abs(value) < 100 ? 2 : 0);

/** What a figure is held against, and how it did. */
function verdictOf({ aboveMs, ratio, aimMs, aimRatio, met, unit = "ms" }: Judged): string {
  const verdict = met ? "met" : "missed";
  if (aimMs !== undefined) return `${verdict}: + ${short(aboveMs)} ${unit} of + ${short(aimMs)} ${unit}`;
  if (aimRatio !== undefined) return `${verdict}: ${ratio.toFixed(2)} × of ${aimRatio.toFixed(2)} ×`;
  return `${ratio.toFixed(2)} ×`;
}

/** One figure in words, with where its time goes. */
export function figureLine(figure: Judged): string {
  const { name, p50, p95, baseline, baselineP50, spans = {}, unit = "ms" } = figure;
  const parts = Object.entries(spans).map(
    ([part, samples]) =>
      `  ${part}: p50 ${short(quantile(samples, 0.5))}, p95 ${short(quantile(samples, 0.95))} ${unit}`,
  );
  return [
    `${name}: p50 ${short(p50)}, p95 ${short(p95)} ${unit}; ${baseline.name}: ${short(baselineP50)} ${unit}; ${verdictOf(figure)}`,
    ...parts,
  ].join("\n");
}

export function table(figures: readonly Judged[]): string {
  const rows = figures.map(
    ({ name, p50, p95, baseline, baselineP50, aboveMs, aimMs, aimRatio, ratio, met, unit = "ms" }) =>
      [
        name,
        `${short(p50)} / ${short(p95)} ${unit}`,
        `${baseline.name}: ${short(baselineP50)}`,
        // Of nothing there is no multiple.
        `${baselineP50 === 0 ? "" : `${ratio.toFixed(2)} ×, `}${aboveMs < 0 ? "" : "+ "}${short(aboveMs)}`,
        aimMs !== undefined
          ? `+ ≤ ${short(aimMs)}`
          : aimRatio !== undefined
            ? `≤ ${Number(aimRatio.toFixed(2))} ×`
            : "",
        aimMs === undefined && aimRatio === undefined ? "told" : met ? "met" : "missed",
      ].join(" | "),
  );
  return [
    "| figure | p50 / p95 | baseline, p50 | against it | aim | |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row} |`),
  ].join("\n");
}

/** A microsecond says nothing, and a file that is kept is to be small. */
function rounded(figure: Judged): unknown {
  return JSON.parse(
    JSON.stringify(figure, (_key, value) => (typeof value === "number" ? Number(value.toFixed(3)) : value)),
  );
}

/** What figures were taken on. */
export interface Machine {
  readonly platform: string;
  readonly arch: string;
  readonly cpus: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  /** Over the last minute: above the number of CPUs, others were in the way. */
  readonly load: number;
  readonly node: string;
}

/** Writes figures with their samples, and what they were taken on, to `results/<name>.json`. */
export async function writeResult(name: string, figures: readonly Judged[]): Promise<string> {
  const folder = join(import.meta.dirname, "results");
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  const [cpu] = cpus();
  const machine: Machine = {
    platform: platform(),
    arch: arch(),
    cpus: cpus().length,
    cpu: cpu?.model ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg()[0] ?? 0,
    node: process.version,
  };
  await writeFile(
    file,
    `${JSON.stringify({ name, takenAt: new Date().toISOString(), machine, figures: figures.map(rounded) }, null, 1)}\n`,
  );
  return file;
}
