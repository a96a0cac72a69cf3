/** How a process is asked to end. */
export interface Shutdown {
  /** Aborted by the first SIGTERM or SIGINT, or when the daemon is gone; the reason says which. */
  readonly signal: AbortSignal;
  /** Stops listening for signals. */
  dispose(): void;
}

/** The first signal asks politely; a second one means now, and ends the process with 128 + its number. */
export function listenForShutdown(process: NodeJS.Process, onParentGone: (listener: () => void) => void): Shutdown {
  const controller = new AbortController();
  const ask = (why: string): void => controller.abort(why);
  const onSignal = (name: NodeJS.Signals, number: number): void => {
    if (controller.signal.aborted) process.exit(128 + number);
    ask(name);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  onParentGone(() => ask("the daemon is gone"));
  return {
    signal: controller.signal,
    dispose() {
      process.off("SIGTERM", onSignal);
      process.off("SIGINT", onSignal);
    },
  };
}
