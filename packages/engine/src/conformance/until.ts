const PATIENCE_MS = 20_000;

/** Waits for a condition, and says what it waited for when that does not come. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Waited ${String(patienceMs)} ms in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
