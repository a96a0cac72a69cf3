import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { until } from "../stigmer.ts";
import { applyAgents, scenario } from "./agents.ts";
import { type Effects, startEffects } from "./effects.ts";
import { type Installation, startInstallation } from "./installation.ts";

// What Prometheus would read of two servers and two runners while runs of two organisations go on.

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

let effects: Effects;
let cloud: Installation;
beforeAll(async () => {
  effects = await startEffects();
  cloud = await startInstallation({ scenario, orgs: ["acme", "globex"], runners: 2 });
  for (const org of ["acme", "globex"]) await applyAgents(cloud.client(org), effects.url);
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
  await effects?.[Symbol.asyncDispose]();
});

/** The samples of one scrape, by name and labels as they are written. */
type Samples = ReadonlyMap<string, number>;

async function scrape(url: string): Promise<Samples> {
  const response = await fetch(url);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/plain")]);
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
const scrapeAll = (of: "servers" | "runners"): Promise<Samples[]> => Promise.all(cloud.metricsUrls[of].map(scrape));

/** The sum of the samples of this name that have all of these labels. */
function sum(samples: Samples, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const found = [...samples].filter(
    ([key]) => (key === name || key.startsWith(`${name}{`)) && wanted.every((each) => key.includes(each)),
  );
  return found.reduce((all, [, value]) => all + value, 0);
}
const overAll = (all: readonly Samples[], ...of: [name: string, labels?: Readonly<Record<string, string>>]): number =>
  all.reduce((total, samples) => total + sum(samples, ...of), 0);

const CREATED = {
  service: "ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController",
  method: "create",
  code: "OK",
};

it("adds up over servers and runners, tells of the database the same on each, and nothing of what was said", async () => {
  const started: { readonly id: string; readonly org: string }[] = [];
  for (const [index, org] of ["acme", "acme", "acme", "globex"].entries()) {
    const run = cloud
      .client(org, cloud.endpoints[index % 2])
      .executions.run({ agent: "careful", message: "Book with approval #measured" });
    await run.execution;
    started.push({ id: run.id, org });
  }
  const all = async (phase: ExecutionPhase): Promise<void> =>
    until(
      async () =>
        (await scrapeAll("servers")).every(
          (each) => sum(each, "stigmer_server_runs", { phase: ExecutionPhase[phase] }) === 4,
        ),
      120,
    );
  await all(ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL);
  // Organisations are looked at less often.
  await until(
    async () => (await scrapeAll("servers")).every((each) => sum(each, "stigmer_server_organization_runs") === 4),
    60,
  );
  const servers = await scrapeAll("servers");
  for (const each of servers) {
    expect(sum(each, "stigmer_server_runs")).toBe(4);
    expect(sum(each, "stigmer_server_tasks", { state: "leased" })).toBe(4);
    expect(sum(each, "stigmer_server_organization_runs", { org: "acme" })).toBe(3);
    expect(sum(each, "stigmer_server_organization_runs", { org: "globex" })).toBe(1);
    for (const dependency of ["database", "redis", "temporal"])
      expect([dependency, sum(each, "stigmer_server_dependency_up", { dependency })]).toEqual([dependency, 1]);
    // Each has had calls: the clients of the test call both.
    expect(sum(each, "stigmer_server_calls_total", CREATED)).toBe(2);
    expect([...each.keys()].join("\n")).not.toMatch(/#measured|stk_|keep the books/);
  }
  expect(overAll(await scrapeAll("runners"), "stigmer_runner_runs_total", { end: "paused" })).toBe(4);

  for (const { id, org } of started) {
    const client = cloud.client(org);
    const { status } = await client.executions.get(id);
    await client.executions.resolveApproval(id, status?.toolCalls[0]?.id ?? "", { decision: "approve" });
  }
  for (const { id, org } of started) {
    let last = "";
    for await (const { phase } of cloud.client(org).executions.watch(id)) last = phase;
    expect(last).toBe("completed");
  }
  await until(async () => (await scrapeAll("servers")).every((each) => sum(each, "stigmer_server_runs") === 0));
  await until(async () => overAll(await scrapeAll("runners"), "stigmer_runner_runs_total", { end: "completed" }) === 4);
  const runners = await scrapeAll("runners");
  expect(overAll(runners, "stigmer_runner_tool_calls_total", { tool: "effects__book", outcome: "completed" })).toBe(4);
  expect(overAll(runners, "stigmer_runner_runs_active")).toBe(0);
  expect(overAll(await scrapeAll("servers"), "stigmer_server_calls_total", CREATED)).toBe(4);
});

it.each([
  ["redis", "redis"],
  ["temporal", "temporal"],
  ["database", "postgres"],
] as const)(
  "says of each server that %s is away, goes on telling the rest, and says when it is back",
  async (dependency, part) => {
    const isUp = async (up: number): Promise<void> =>
      until(
        async () =>
          (await scrapeAll("servers")).every(
            (each) => sum(each, "stigmer_server_dependency_up", { dependency }) === up,
          ),
        60,
      );
    await isUp(1);
    await cloud.parts[part].stop();
    await isUp(0);
    for (const each of await scrapeAll("servers")) {
      const names = new Set([...each.keys()].map((key) => key.replace(/\{.*/, "")));
      expect([...names]).toEqual(
        expect.arrayContaining(["stigmer_server_calls_total", "stigmer_server_dependency_up"]),
      );
      expect(names.has("stigmer_server_runs")).toBe(dependency !== "database");
    }
    await cloud.parts[part].start();
    await isUp(1);
  },
);

it("needs no key, and answers nothing but metrics", async () => {
  for (const url of [...cloud.metricsUrls.servers, ...cloud.metricsUrls.runners]) {
    const base = url.replace("/metrics", "");
    for (const path of ["/", "/ai.stigmer.agentic.agent.v1.AgentQueryController/list"])
      expect((await fetch(base + path, { method: "POST" })).status).toBe(404);
  }
});
