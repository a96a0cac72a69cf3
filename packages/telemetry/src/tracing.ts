// Sets OpenTelemetry's SDK up for a process. Its packages are read only when spans go somewhere.
import { context, propagation, trace } from "@opentelemetry/api";

export interface TracingOptions {
  /** The process, such as `stigmer-server`; `OTEL_SERVICE_NAME` goes before it where that is read. */
  readonly serviceName: string;
  readonly version: string;
  /** A file that spans are appended to, as lines of OTLP JSON. Several processes may write to one file. */
  readonly file?: string;
  /** A collector that takes OTLP over HTTP: the base URL, such as `http://localhost:4318`. */
  readonly otlp?: { readonly endpoint: string; readonly headers?: Readonly<Record<string, string>> };
  /** Beside the service's name and version. */
  readonly resourceAttributes?: Readonly<Record<string, string>>;
  /** Told when spans could not be handed on. Default: nobody. */
  readonly onError?: (error: unknown) => void;
}

export interface Tracing {
  /** Hands on what has been recorded, and ends tracing. Never throws; takes two seconds at most. Safe to call twice. */
  close(): Promise<void>;
}

/** Milliseconds after which spans are handed on. */
const exportEveryMs = 1_000;
const closeWithinMs = 2_000;

const off: Tracing = { close: async () => {} };

/**
 * Makes this process's spans go to a file, a collector, or both; without either nothing is loaded and spans stay what they are
 * without an SDK: nothing. Call it once, before what is to be traced.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { serviceName, version, file, otlp, resourceAttributes, onError = () => {} } = options;
  if (file === undefined && otlp === undefined) return off;
  const [{ AsyncLocalStorageContextManager }, { W3CTraceContextPropagator }, { resourceFromAttributes }, sdk] =
    await Promise.all([
      import("@opentelemetry/context-async-hooks"),
      import("@opentelemetry/core"),
      import("@opentelemetry/resources"),
      import("@opentelemetry/sdk-trace-base"),
    ]);
  const exporters = [];
  if (file !== undefined) {
    const { createFileExporter } = await import("./file-exporter.ts");
    exporters.push(await createFileExporter(file, onError));
  }
  if (otlp !== undefined) {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
    const url = `${otlp.endpoint.replace(/\/+$/, "")}/v1/traces`;
    exporters.push(new OTLPTraceExporter({ url, headers: { ...otlp.headers } }));
  }
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({
      "service.name": serviceName,
      "service.version": version,
      "process.pid": process.pid,
      ...resourceAttributes,
    }),
    spanProcessors: exporters.map(
      (exporter) => new sdk.BatchSpanProcessor(exporter, { scheduledDelayMillis: exportEveryMs }),
    ),
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, closeWithinMs);
    await Promise.race([provider.shutdown().catch(onError), late]);
    clearTimeout(timer);
    for (const api of [trace, context, propagation]) api.disable();
  };
  return { close: () => (closing ??= close()) };
}
