/**
 * Node 22 says of `node:sqlite` that it is experimental, in the middle of what its users read. It has what we use of it since 22.13, and
 * they can do nothing about it. To be called before anything loads it; every other warning is passed on.
 */
export function hideSqliteWarning(process: Pick<NodeJS.Process, "emitWarning">): void {
  const emit = process.emitWarning.bind(process) as (...args: readonly unknown[]) => void;
  process.emitWarning = (...args: readonly unknown[]): void => {
    const [warning] = args;
    const text = warning instanceof Error ? warning.message : String(warning);
    if (!text.startsWith("SQLite is an experimental feature")) emit(...args);
  };
}
