import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createSqliteCheckpointer, type SqliteCheckpointer } from "./create-sqlite-checkpointer.ts";

// LangGraph's own suite for checkpointers speaks to the test runner's globals.
Object.assign(globalThis, { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it });
const { deltaChannelHistoryTests, validate } = await import("@langchain/langgraph-checkpoint-validation");

const directory = mkdtempSync(join(tmpdir(), "checkpointer-"));
let count = 0;
const initializer = {
  checkpointerName: "@stigmer/agent",
  // The suite looks back at every checkpoint.
  createCheckpointer: (): Promise<SqliteCheckpointer> =>
    createSqliteCheckpointer({ path: join(directory, `${(count += 1)}.db`), keep: Infinity }),
  destroyCheckpointer: async (checkpointer: SqliteCheckpointer): Promise<void> => checkpointer.close(),
  afterAll: async (): Promise<void> => rmSync(directory, { recursive: true }),
};
validate(initializer);
deltaChannelHistoryTests(initializer);
