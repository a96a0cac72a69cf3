/** An address as `STIGMER_TEST_POSTGRES_URL`. Throws without it. */
export function postgresUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url) throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to.");
  return url;
}
