import { afterAll } from "vitest";
import { sessionsSuite } from "./__fixtures__/sessions-suite.ts";
import { startTemporal, type TemporalServer } from "./__fixtures__/temporal.ts";

// The same with Temporal between server and runner.

let temporal: TemporalServer | undefined;
// Runs after the platform's own end: hooks run in reverse.
afterAll(() => temporal?.[Symbol.asyncDispose]());

sessionsSuite(async () => {
  temporal = await startTemporal();
  const { address } = temporal;
  return { engine: { type: "temporal", address, namespace: "default", heartbeatTimeoutMs: 3_000, retryDelayMs: 100 } };
});
