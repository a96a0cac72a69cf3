import type { DatabaseSync } from "node:sqlite";
import { StoreError } from "../errors.ts";

/** The one writing connection. Units of work run one after the other; each is stored whole or not at all. */
export interface Writer {
  /** Resolves once the unit is stored: what a killed process leaves behind has it, and what a power cut does unless it is passing. */
  run<T>(unit: () => T | Promise<T>, options?: UnitOptions): Promise<T>;
  /** Finishes what was asked for, then refuses more. */
  close(): Promise<void>;
}

export interface UnitOptions {
  /** Nobody goes on because of it: it reaches the disk with the next unit for which that is not so. Default false. */
  readonly passing?: boolean | undefined;
}

interface Waiting extends UnitOptions {
  readonly unit: () => unknown;
  /** Tells the caller; called only when the unit is committed, or when nothing of it is. */
  settle(outcome: Outcome): void;
}

type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

/** More would make the first of them wait too long. */
const MAX_UNITS_PER_COMMIT = 128;

/**
 * Group commit: a commit costs a disk flush, during which requests gather; all that gathered share the next one. A
 * savepoint around each unit lets one fail without the others.
 */
export function createWriter(database: DatabaseSync): Writer {
  const waiting: Waiting[] = [];
  let draining: Promise<void> | undefined;
  let closed = false;

  async function drain(): Promise<void> {
    // One turn of the event loop, so that requests that arrived together commit together.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MAX_UNITS_PER_COMMIT);
      const outcomes = await commit(database, batch);
      batch.forEach((entry, index) => entry.settle(outcomes[index] ?? { ok: false, error: new Error("lost outcome") }));
    }
    draining = undefined;
  }

  return {
    run: <T>(unit: () => T | Promise<T>, options: UnitOptions = {}) =>
      new Promise<T>((resolve, reject) => {
        if (closed) return reject(new StoreError("closed", "The store is closed."));
        waiting.push({
          ...options,
          unit,
          settle: (outcome) => (outcome.ok ? resolve(outcome.value as T) : reject(outcome.error)),
        });
        draining ??= drain();
      }),
    close: async () => {
      closed = true;
      await draining;
    },
  };
}

async function commit(database: DatabaseSync, batch: readonly Waiting[]): Promise<Outcome[]> {
  try {
    // Of the commit to come, for within a transaction it can't be said. One that is flushed takes along all that were not.
    database.exec(`PRAGMA synchronous = ${batch.every(({ passing }) => passing) ? "NORMAL" : "FULL"}`);
    database.exec("BEGIN IMMEDIATE");
    const outcomes: Outcome[] = [];
    for (const { unit } of batch) outcomes.push(await runUnit(database, unit));
    database.exec("COMMIT");
    return outcomes;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    return batch.map(() => ({ ok: false, error }));
  }
}

async function runUnit(database: DatabaseSync, unit: () => unknown): Promise<Outcome> {
  database.exec("SAVEPOINT unit");
  try {
    const value = await unit();
    database.exec("RELEASE unit");
    return { ok: true, value };
  } catch (error) {
    // A full or broken disk makes SQLite roll the whole transaction back by itself: then nothing of the batch is stored.
    if (!database.isTransaction) throw error;
    database.exec("ROLLBACK TO unit");
    database.exec("RELEASE unit");
    return { ok: false, error };
  }
}
