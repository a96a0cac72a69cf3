// What the services promise, over Postgres. Each suite by itself says the same over SQLite.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { keepInPostgres } from "./__fixtures__/test-store.ts";

keepInPostgres();

const suites = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".test.ts") && !name.endsWith(".system.test.ts"))
  .filter((name) => readFileSync(join(import.meta.dirname, name), "utf8").includes("openTestServer("));

// Each has hooks for its own cases.
describe.each(suites)("%s", async (name) => {
  await import(join(import.meta.dirname, name));
});
