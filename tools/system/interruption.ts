const controller = new AbortController();

/** Aborted by Ctrl-C or SIGTERM, so that what was brought up is taken down before the process ends. */
export const interruption: AbortSignal = controller.signal;

/** From here on a signal ends nothing by itself. A second one ends the process at once. */
export function noticeInterruption(): void {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => controller.abort(new Error(`stopped by ${name}`)));
  }
}
