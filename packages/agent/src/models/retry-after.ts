/**
 * How long a provider asks to wait before the next try, in milliseconds: `retry-after-ms`, or `retry-after` in seconds or as an
 * HTTP date. Undefined when it says nothing that can be read.
 */
export function readRetryAfter(headers: Headers, now: () => number = Date.now): number | undefined {
  const exact = numberOf(headers.get("retry-after-ms"));
  if (exact !== undefined) return exact;
  const value = headers.get("retry-after");
  const seconds = numberOf(value);
  if (seconds !== undefined) return seconds * 1000;
  // Bare numbers parse as years, and would be waits of no time at all.
  const date = value !== null && /\d\d:\d\d/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now());
}

function numberOf(text: string | null): number | undefined {
  if (text === null || !/^\s*\d+(\.\d+)?\s*$/.test(text)) return undefined;
  return Number(text);
}
