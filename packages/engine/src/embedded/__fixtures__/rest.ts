/** Lets what was set off come to rest, so that a thing that did not happen can be said not to. */
export async function rest(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
