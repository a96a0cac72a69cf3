import { encodeValue, type Value } from "./values.ts";

export type Parameters = Readonly<Record<string, Value>>;

/**
 * SQL on one connection, or on any. Texts name their parameters (`:id`), come from a closed set in this folder, and are
 * prepared once by each connection. The row type is the caller's word for what the text selects.
 */
export interface Sql {
  get<Row>(text: string, parameters?: Parameters): Promise<Row | undefined>;
  all<Row>(text: string, parameters?: Parameters): Promise<Row[]>;
  /** Answers how many rows changed. */
  run(text: string, parameters?: Parameters): Promise<number>;
}

/** How a role of the store reaches the database: inside a transaction both run in it. */
export interface Session {
  read<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /**
   * Each statement of `work` is stored by itself, so it has to hold by itself. `work` may run again, when Postgres broke it off
   * for the sake of others.
   */
  write<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
}

/** What `pg` is asked. */
export interface Query {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

export interface QueryResult {
  readonly rows: unknown[];
  readonly rowCount: number | null;
}

export function createSql(ask: (query: Query) => Promise<QueryResult>): Sql {
  const all = async <Row>(text: string, parameters?: Parameters): Promise<Row[]> =>
    (await ask(queryOf(text, parameters))).rows as Row[];
  return {
    all,
    get: async <Row>(text: string, parameters?: Parameters) => (await all<Row>(text, parameters))[0],
    run: async (text, parameters) => (await ask(queryOf(text, parameters))).rowCount ?? 0,
  };
}

interface Statement {
  readonly name: string;
  readonly text: string;
  /** Of the parameters, in their order. */
  readonly names: readonly string[];
}

/** By the texts of this folder. */
const statements = new Map<string, Statement>();

function queryOf(text: string, parameters: Parameters = {}): Query {
  let statement = statements.get(text);
  if (!statement) {
    statement = prepare(text, `stigmer_${statements.size + 1}`);
    statements.set(text, statement);
  }
  const values = statement.names.map((name) => {
    const value = parameters[name];
    if (value === undefined) throw new TypeError(`No value for :${name}`);
    return encodeValue(value);
  });
  return { name: statement.name, text: statement.text, values };
}

function prepare(text: string, name: string): Statement {
  const names: string[] = [];
  // Not the types behind `::`.
  const numbered = text.replaceAll(/(?<!:):([a-z_]+)/g, (_, parameter: string) => {
    if (!names.includes(parameter)) names.push(parameter);
    return `$${names.indexOf(parameter) + 1}`;
  });
  return { name, text: numbered, names };
}
