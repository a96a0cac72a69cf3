import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Meters, Readings } from "./meters.ts";

/** Where metrics are served. */
export interface MetricsEndpoint {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

export interface MetricsServer extends Meters {
  /** `http://127.0.0.1:9464/metrics`; an IPv6 address stands in brackets. */
  readonly url: string;
  close(): Promise<void>;
}

/** Seconds. */
const defaultBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Serves `/metrics` in Prometheus' text format on a listener of its own. Throws when the port can't be had. */
export async function openMetrics({ host, port }: MetricsEndpoint): Promise<MetricsServer> {
  const { Registry, Counter, Gauge, Histogram } = await import("prom-client");
  const registry = new Registry();
  const server = createServer((request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : text);
    };
    if (request.url?.split("?", 1)[0] !== "/metrics") return answer(404, "not found\n");
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "method not allowed\n");
    registry.metrics().then(
      (text) => answer(200, text, registry.contentType),
      () => answer(500, "the metrics could not be read\n"),
    );
  });
  server.keepAliveTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  }).catch((cause: unknown) => {
    const reason = (cause as Error).message;
    throw new Error(`STIGMER_METRICS_PORT=${port} can't be listened on (${reason}); name a free port`, { cause });
  });
  const address = server.address() as AddressInfo;
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}/metrics`,
    counter({ name, help, labels = [] }) {
      const counter = new Counter({ name, help, labelNames: [...labels], registers: [registry] });
      return { add: (value, by = {}) => counter.inc(by, value) };
    },
    histogram({ name, help, labels = [], buckets = defaultBuckets }) {
      const options = { name, help, labelNames: [...labels], buckets: [...buckets], registers: [registry] };
      const histogram = new Histogram(options);
      return { record: (value, by = {}) => histogram.observe(by, value) };
    },
    gauge({ name, help, labels = [], counts = false, read }) {
      const options = { name, help, labelNames: [...labels], registers: [registry] };
      const metric = counts ? new Counter({ ...options, collect }) : new Gauge({ ...options, collect });
      async function collect(): Promise<void> {
        const readings = await (async () => read())().catch((): Readings => []);
        metric.reset();
        // One without labels reads 0 after that, which is not what is known of it.
        if (readings.length === 0 && labels.length === 0) metric.remove();
        for (const { value, labels: by = {} } of readings) metric.inc(by, value);
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
