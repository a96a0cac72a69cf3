import type { Client } from "pg";
import { ServerError } from "../../errors.ts";

const OLDEST_VERSION = 130_000;

/** Throws `ServerError` `database-unreachable` when this Postgres could not keep what this program stores. */
export async function refuseUnfit(client: Client, address: string): Promise<void> {
  const { rows } = await client.query<{ encoding: string; version: string; number: number }>(
    `SELECT current_setting('server_encoding') AS encoding, current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number`,
  );
  const { encoding = "", version = "", number = 0 } = rows[0] ?? {};
  if (number < OLDEST_VERSION) {
    throw new ServerError("database-unreachable", `Postgres at ${address} is version ${version}: use 13 or newer.`);
  }
  if (encoding !== "UTF8") {
    throw new ServerError(
      "database-unreachable",
      `The database ${address} is encoded in ${encoding}: make one in UTF8 (createdb --encoding=UTF8 --template=template0).`,
    );
  }
}
