// For who writes a backend, or wraps one.
export { describeSandboxConformance, sandboxConformance } from "./sandbox-conformance.ts";
export type { ConformanceWish } from "./conformance-case.ts";
export type {
  ConformanceGroup,
  ConformanceOptions,
  ConformanceSkip,
  ConformanceTest,
  TestRunner,
} from "./sandbox-conformance.ts";
