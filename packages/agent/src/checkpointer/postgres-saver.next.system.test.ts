import { afterAll } from "vitest";
import { keepsCheckpointsInOrder } from "../__fixtures__/next-checkpoints-suite.ts";
import { openSchema, postgresUrl } from "../__fixtures__/postgres.ts";

// Without a server all of this file fails, with one message.
postgresUrl();

const schema = await openSchema();
afterAll(() => schema[Symbol.asyncDispose]());

keepsCheckpointsInOrder(() => schema.open());
