import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type MetricsServer, openMetrics } from "./metrics-server.ts";

let metrics: MetricsServer | undefined;
afterEach(() => metrics?.close());

it("serves what was counted, and asks for what goes up and down when somebody looks", async () => {
  metrics = await openMetrics({ host: "127.0.0.1", port: 0 });
  const { url } = metrics;
  const text = async (): Promise<string> => (await fetch(url)).text();
  const counter = metrics.counter({ name: "a_total", help: "A.", labels: ["by"] });
  counter.add(2, { by: 'x"\n' });
  metrics.histogram({ name: "b_seconds", help: "B.", buckets: [1, 2] }).record(1.5);
  let values = [{ value: 3, labels: { of: "one" } }];
  metrics.gauge({ name: "c", help: "C.", labels: ["of"], read: () => values });
  metrics.gauge({ name: "d_total", help: "D.", counts: true, read: async () => [{ value: 7 }] });
  metrics.gauge({
    name: "e",
    help: "E.",
    read: () => {
      throw new Error("away");
    },
  });
  const first = await text();
  for (const line of [
    "# TYPE a_total counter",
    String.raw`a_total{by="x\"\n"} 2`,
    'b_seconds_bucket{le="2"} 1',
    'c{of="one"} 3',
    "# TYPE d_total counter",
    "d_total 7",
  ]) {
    expect(first.split("\n")).toContain(line);
  }
  // What can't be read is left out, and so is what is no more.
  expect(first).not.toMatch(/^e /m);
  values = [];
  const second = await text();
  expect(second).not.toMatch(/^c\{/m);
  expect(second).toMatch(/^d_total 7$/m);
});

it("says nothing else", async () => {
  metrics = await openMetrics({ host: "127.0.0.1", port: 0 });
  const { url } = metrics;
  expect((await fetch(url.replace("/metrics", "/"))).status).toBe(404);
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
  const head = await fetch(url, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
});

it("names the port that can't be had", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  await expect(openMetrics({ host: "127.0.0.1", port })).rejects.toThrow(
    new RegExp(`^STIGMER_METRICS_PORT=${port} can't be listened on .*EADDRINUSE.*name a free port$`),
  );
  await new Promise((resolve) => taken.close(resolve));
});
