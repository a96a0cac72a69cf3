export { createJsonLogger, type JsonLogger, type JsonLoggerOptions } from "./json-logger.ts";
export { type MetricsEndpoint, type MetricsServer, openMetrics } from "./metrics-server.ts";
export type { Count, Gauge, Meter, Meters, Labels, Readings } from "./meters.ts";
export {
  activeTrace,
  contextFrom,
  failureOf,
  inSpan,
  isTraced,
  linkTo,
  noteFailure,
  readTraceparent,
  type Span,
  type SpanChoice,
  startSpan,
  traceparentHere,
} from "./spans.ts";
export { startTracing, type Tracing, type TracingOptions } from "./tracing.ts";
