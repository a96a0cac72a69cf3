import type { Environment } from "./environment.ts";
import { ConfigError } from "./problems.ts";
import { readVariables, type Values } from "./read-variables.ts";

/** Where a process is listened on for a look at how it is. */
export interface Endpoint {
  /** `127.0.0.1` in local mode, `::` (all interfaces, IPv4 too) in cloud mode. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

/** Where a process's spans go; nowhere when neither a file nor a collector is named. */
export interface TracesConfig {
  /** Spans are appended to it. */
  readonly file?: string;
  readonly otlp?: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> };
  /** In place of the process's own. */
  readonly serviceName?: string;
  readonly resourceAttributes: Readonly<Record<string, string>>;
}

type TraceValues = Pick<
  Values<"local", "client">,
  | "STIGMER_TRACES_FILE"
  | "OTEL_EXPORTER_OTLP_ENDPOINT"
  | "OTEL_EXPORTER_OTLP_HEADERS"
  | "OTEL_SERVICE_NAME"
  | "OTEL_RESOURCE_ATTRIBUTES"
>;

export function tracesOf(values: TraceValues): TracesConfig {
  const { STIGMER_TRACES_FILE: file, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: serviceName } = values;
  return {
    ...(file && { file }),
    ...(endpoint && { otlp: { endpoint, headers: pairsOf(values.OTEL_EXPORTER_OTLP_HEADERS) } }),
    ...(serviceName && { serviceName }),
    resourceAttributes: pairsOf(values.OTEL_RESOURCE_ATTRIBUTES),
  };
}

/** Where the spans of a `stigmer` command go. Throws `ConfigError`. */
export function readTraces(env: Environment = process.env): TracesConfig {
  const result = readVariables(env, { mode: "local", reader: "client" });
  if (!result.ok) throw new ConfigError(result.problems);
  return tracesOf(result.values);
}

/** Of `STIGMER_METRICS_PORT`. */
export function metricsOf(host: string, port: number | undefined): { readonly metrics?: Endpoint } {
  return port === undefined ? {} : { metrics: { host, port } };
}

/** `a=b,c=d`, as OpenTelemetry writes lists; what is no pair is left out, as it does. */
function pairsOf(text: string | undefined): Record<string, string> {
  const pairs = (text ?? "").split(",").flatMap((pair): [string, string][] => {
    const at = pair.indexOf("=");
    return at < 1 ? [] : [[pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())]];
  });
  return Object.fromEntries(pairs);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
