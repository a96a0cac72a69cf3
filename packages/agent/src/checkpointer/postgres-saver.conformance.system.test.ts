import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openSchema, postgresUrl, type TestSchema } from "../__fixtures__/postgres.ts";
import type { PostgresCheckpointer } from "./create-postgres-checkpointer.ts";

// LangGraph's own suite for checkpointers speaks to the test runner's globals.
Object.assign(globalThis, { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it });
const { deltaChannelHistoryTests, validate } = await import("@langchain/langgraph-checkpoint-validation");

// Without a server all of this file fails, with one message.
postgresUrl();

const schemas = new Map<PostgresCheckpointer, TestSchema>();
const initializer = {
  checkpointerName: "@stigmer/agent on Postgres",
  async createCheckpointer(): Promise<PostgresCheckpointer> {
    const schema = await openSchema();
    // The suite looks back at every checkpoint.
    const checkpointer = await schema.open(Infinity);
    schemas.set(checkpointer, schema);
    return checkpointer;
  },
  async destroyCheckpointer(checkpointer: PostgresCheckpointer): Promise<void> {
    await schemas.get(checkpointer)?.[Symbol.asyncDispose]();
  },
};
validate(initializer);
deltaChannelHistoryTests(initializer);
