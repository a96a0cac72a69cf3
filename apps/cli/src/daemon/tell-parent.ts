/** Sends a message to the process that started this one. Resolves when it is on its way; without such a process at once. */
export function tellParent(message: object): Promise<void> {
  return new Promise((resolve) => {
    // A parent that is gone needs no message; that it went in this moment is no failure either.
    if (process.send && process.connected) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });
}
