import { roundCents } from "./money.js";

/** Tax by rate on the sum of each rate's lines: rounding line by line would drift from the authorities' figure. */
export function taxByRate(lines) {
  const bases = new Map();
  for (const { taxRate, net } of lines) bases.set(taxRate, (bases.get(taxRate) ?? 0) + net);
  return [...bases]
    .sort(([a], [b]) => b - a)
    .map(([rate, base]) => ({ rate, base, tax: roundCents((base * rate) / 100) }));
}
