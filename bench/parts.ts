import type { Figure } from "./report.ts";

type Measure = () => Promise<Figure | readonly Figure[]>;

/** One measurement of a suite, or what it would need that is not here. */
export type Part = Measure | { readonly lacks: string };

/** A suite's parts, each of which is one figure or a few of one measurement, and can be run by itself. */
export type Parts = Readonly<Record<string, Part>>;

/** A part that is measured when all these variables are set. */
export function given(variables: readonly string[], measure: Measure): Part {
  const missing = variables.filter((variable) => !process.env[variable]);
  return missing.length === 0 ? measure : { lacks: missing.join(", ") };
}
