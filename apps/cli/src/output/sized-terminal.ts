import type { OutputStream } from "../command-io.ts";

// What terminals had before they could say it.
const COLUMNS = 80;
const ROWS = 24;

/**
 * A terminal for what lays lines out by its size. One that says it has no columns (a serial line, `docker exec -t`, some editors)
 * would get a line for each letter.
 */
export function sizedTerminal(stream: OutputStream): NodeJS.WriteStream {
  return new Proxy(stream, {
    get(target, name) {
      if (name === "columns") return target.columns || COLUMNS;
      if (name === "rows") return target.rows || ROWS;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  }) as NodeJS.WriteStream;
}
