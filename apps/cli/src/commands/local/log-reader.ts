import { open, stat } from "node:fs/promises";
import { piecesOf } from "../../daemon/log-file.ts";

export interface LogLine {
  readonly component: string;
  readonly text: string;
  /** Milliseconds since 1970; of a line that tells none, that of the line before it. */
  readonly time: number;
}

/** Reads one component's log, whose lines it gives once. */
export interface LogReader {
  /** The whole lines that came since the last time; the first time all of them, also those put aside. */
  lines(): AsyncGenerator<LogLine, void, undefined>;
  /** Whether there ever was a file. */
  readonly found: boolean;
}

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;
// Of the runner's, the server's and Temporal's lines alike.
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)/;

export function createLogReader(component: string, file: string): LogReader {
  const older = piecesOf(file).slice(0, -1);
  const [newestPiece = ""] = older.slice(-1);
  let begun = false;
  let found = false;
  let position = 0;
  let time = 0;
  // The line that is not finished, in bytes: a character may be cut in two.
  let rest: Buffer = Buffer.alloc(0);

  const toLine = (text: string): LogLine => {
    const parsed = Date.parse(TIME.exec(text.slice(0, 200))?.[0] ?? "");
    if (!Number.isNaN(parsed)) time = parsed;
    return { component, text, time };
  };
  async function* read(path: string): AsyncGenerator<LogLine, void, undefined> {
    await using log = await open(path);
    for (;;) {
      const { bytesRead, buffer } = await log.read({ buffer: Buffer.alloc(CHUNK_BYTES), position });
      if (bytesRead === 0) return;
      position += bytesRead;
      const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const end = bytes.lastIndexOf(NEWLINE);
      rest = bytes.subarray(end + 1);
      if (end >= 0) for (const text of bytes.toString("utf8", 0, end).split("\n")) yield toLine(text);
    }
  }
  return {
    get found() {
      return found;
    },
    async *lines() {
      if (!begun) {
        for (const piece of older) {
          if ((await sizeOf(piece)) === undefined) continue;
          found = true;
          yield* read(piece);
          position = 0;
        }
        begun = true;
      }
      const size = await sizeOf(file);
      if (size === undefined) return;
      found = true;
      if (size < position) {
        // It was put aside, with an end that nobody has read yet.
        if (((await sizeOf(newestPiece)) ?? 0) >= position) yield* read(newestPiece);
        position = 0;
        rest = Buffer.alloc(0);
      }
      yield* read(file);
    },
  };
}

/** The lines of several readers in the order of their times; of each reader in its own. */
export async function* merged(readers: readonly LogReader[]): AsyncGenerator<LogLine, void, undefined> {
  const sources = readers.map((reader) => reader.lines());
  const heads = await Promise.all(sources.map(async (source) => (await source.next()).value ?? undefined));
  for (;;) {
    let first: number | undefined;
    for (const [at, head] of heads.entries()) {
      if (head && (first === undefined || head.time < (heads[first]?.time ?? 0))) first = at;
    }
    if (first === undefined) return;
    yield heads[first] as LogLine;
    heads[first] = (await sources[first]?.next())?.value ?? undefined;
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  return await stat(file).then(
    ({ size }) => size,
    () => undefined,
  );
}
