/** A size for people: `999 B`, `1.5 kB`, `12.3 MB`. */
export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  // What would be rounded to 1000 is 1 of the next.
  for (; size >= (unit === 0 ? 1_000 : 999.95) && unit < units.length - 1; unit++) size /= 1_000;
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit] ?? ""}`;
}
