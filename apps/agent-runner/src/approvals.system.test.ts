import { afterAll } from "vitest";
import { approvalsSuite } from "./__fixtures__/approvals-suite.ts";
import { startTemporal, type TemporalServer } from "./__fixtures__/temporal.ts";

let temporal: TemporalServer | undefined;
// Runs after the platform's own end: hooks run in reverse.
afterAll(() => temporal?.[Symbol.asyncDispose]());

approvalsSuite(async () => {
  temporal = await startTemporal();
  const { address } = temporal;
  const patience = { heartbeatTimeoutMs: 3_000, retryDelayMs: 100 };
  return { killServer: true, engine: { type: "temporal", address, namespace: "default", ...patience } };
});
