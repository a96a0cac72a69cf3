/** Waits for a condition, looked at every 2 ms: what is measured here are hundreds of them. */
export async function until(condition: () => boolean, what: string, seconds = 60): Promise<void> {
  for (const deadline = Date.now() + seconds * 1_000; Date.now() < deadline;) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`Waited ${seconds} s for ${what}.`);
}
