const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30d`, `12h` or `90m` in milliseconds; undefined for what is none of these. */
export function parseSpan(text: string): number | undefined {
  const [, digits, unit = ""] = /^([1-9]\d{0,4})([mhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS_MS[unit] ?? Number.NaN);
  return Number.isNaN(ms) ? undefined : ms;
}
