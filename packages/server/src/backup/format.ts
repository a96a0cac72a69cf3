// A backup is one SQLite database: a row that says what it is, and the files of a data directory in pieces.
import { z } from "zod";

/** "STGB" in the header, by which a backup is told from other databases. */
export const APPLICATION_ID = 0x53_54_47_42;

/** Raised when programs of before could not read what is written. */
export const FORMAT = 1;

/** No more than this is in memory at a time. */
export const PIECE_BYTES: number = 1024 * 1024;

export const TABLES = `
  CREATE TABLE backup (manifest TEXT NOT NULL) STRICT;
  CREATE TABLE pieces (
    part TEXT NOT NULL,
    position INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (part, position)
  ) STRICT;`;

/** The server's database, without which there is nothing to restore. */
export const SERVER_DATABASE = "stigmer.db";

/** The databases of a data directory: the server's, the runner's conversations, and its tool calls. */
export const DATABASES: readonly string[] = [SERVER_DATABASE, "checkpoints.db", "tool-calls.db"];

/** A file of the data directory. */
export interface Part {
  /** The path in the data directory; nothing else is ever written. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a backup says of itself. */
export interface Manifest {
  /** Of the program that made it. */
  readonly version: string;
  /** RFC 3339: the moment whose state it holds. */
  readonly takenAt: string;
  /** Of the server's database. */
  readonly schemaVersion: number;
  /** By which the key that its secrets need is recognised; null when none had been made. */
  readonly keyFingerprint: string | null;
  readonly parts: readonly Part[];
}

const partName = z.union([z.literal(DATABASES), z.string().regex(/^artifacts\/[0-9a-f]{64}\.zip$/)]);

export const manifestSchema: z.ZodType<Manifest> = z.object({
  version: z.string(),
  takenAt: z.string(),
  schemaVersion: z.number().int(),
  keyFingerprint: z.string().nullable(),
  parts: z.array(z.object({ name: partName, bytes: z.number().int().nonnegative(), sha256: z.string() })),
});
