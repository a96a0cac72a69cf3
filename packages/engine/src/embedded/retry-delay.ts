const FAST_RETRIES = 3;
const FAST_MS = 50;
const CAP_MS = 2_000;

/**
 * How long to wait before the `retry`-th retry (from 1), in milliseconds: at first 50 to 100, since a server that restarts is
 * back soon and a reattach window is short; then doubling up to 2 s. Jitter keeps runners apart.
 */
export function retryDelayMs(retry: number, random: () => number = Math.random): number {
  const ceiling = retry <= FAST_RETRIES ? 2 * FAST_MS : Math.min(CAP_MS, 2 * FAST_MS * 2 ** (retry - FAST_RETRIES));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}
