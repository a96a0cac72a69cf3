import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { UnitOptions } from "./writer.ts";

export type Parameters = Record<string, SQLInputValue>;

/** SQL on one connection, each text prepared once. The row type is the caller's word for what the text selects. */
export interface Sql {
  get<Row>(text: string, parameters?: Parameters): Row | undefined;
  all<Row>(text: string, parameters?: Parameters): Row[];
  /** Answers how many rows changed. */
  run(text: string, parameters?: Parameters): number;
}

/** How a role of the store reaches the database: inside a transaction both run on its connection. */
export interface Session {
  read<T>(work: (sql: Sql) => T): Promise<T>;
  /** Inside a transaction the options are the transaction's own. */
  write<T>(work: (sql: Sql) => T, options?: UnitOptions): Promise<T>;
}

/** Texts come from a closed set in this folder, so the cache needs no limit. */
export function createSql(database: DatabaseSync): Sql {
  const statements = new Map<string, StatementSync>();
  const prepare = (text: string): StatementSync => {
    let statement = statements.get(text);
    if (!statement) {
      statement = database.prepare(text);
      statements.set(text, statement);
    }
    return statement;
  };
  return {
    get: <Row>(text: string, parameters: Parameters = {}) => prepare(text).get(parameters) as Row | undefined,
    all: <Row>(text: string, parameters: Parameters = {}) => prepare(text).all(parameters) as Row[],
    run: (text, parameters = {}) => Number(prepare(text).run(parameters).changes),
  };
}
