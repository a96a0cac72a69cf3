import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "./free-ports.ts";
import { type LocalPlatform, repository, startLocal, until } from "./stigmer.ts";
import { startTemporal, type TemporalDevServer } from "./temporal.ts";

// The whole chain over real processes: command, server, engine, runner, tools. Spans go to a file, metrics are asked for over HTTP.

const canary = (name: string): string => `canary-${name}-${randomBytes(12).toString("hex")}`;
// What none of them may hold: what is asked, said and called with, what comes of it, and secrets.
const canaries = {
  instructions: canary("instructions"),
  prompt: canary("prompt"),
  argument: canary("argument"),
  result: canary("result"),
  answer: canary("answer"),
  secret: canary("secret"),
  key: canary("key"),
};

const SCENARIO = `
name: observability
scenarios:
  - name: works
    match: { human: "Work on ${canaries.prompt}." }
    turns:
      - toolCalls:
          - { name: execute, args: { command: "echo ${canaries.argument} $PASSWORD; cat result" } }
      - toolCalls:
          - { name: task, args: { subagent_type: general-purpose, description: "Look around." } }
      - text: ${canaries.answer}
  - name: looks around
    match: { firstHuman: "Look around." }
    turns:
      - toolCalls: [{ name: execute, args: { command: ls } }]
      - text: Nothing here.
  - name: takes its time
    match: { human: "Take your time." }
    turns:
      - toolCalls: [{ name: execute, args: { command: "touch begun; until [ -e go ]; do sleep 0.1; done" } }]
      - toolCalls: [{ name: execute, args: { command: "true" } }]
      - text: Done.
`;

interface Span {
  readonly service: string;
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: Readonly<Record<string, unknown>>;
}

let directory: string;
let scenario: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "stigmer-observability-"));
  scenario = join(directory, "scenario.yaml");
  await writeFile(scenario, SCENARIO);
  await writeFile(
    join(directory, "agent.yaml"),
    `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec: { instructions: "You work. ${canaries.instructions}" }
`,
  );
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe.each(["embedded", "temporal"] as const)("under the %s engine", (engine) => {
  let temporal: TemporalDevServer | undefined;
  let platform: LocalPlatform;
  let traces: string;
  let metricsPort: number;

  beforeAll(async () => {
    temporal = engine === "temporal" ? await startTemporal() : undefined;
    traces = join(directory, `${engine}.jsonl`);
    // The server's, and the runner's after it.
    metricsPort = await freePorts(2);
    const env = {
      STIGMER_TRACES_FILE: traces,
      STIGMER_METRICS_PORT: String(metricsPort),
      LOG_LEVEL: "DEBUG",
      ...(temporal && { TEMPORAL_SERVICE_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace }),
    };
    platform = await startLocal(scenario, { env, modelKey: canaries.key });
    expect(await platform.stigmer(["apply", "-f", join(directory, "agent.yaml")])).toMatchObject({ exitCode: 0 });
  }, 180_000);
  afterAll(async () => {
    await platform?.[Symbol.asyncDispose]();
    await temporal?.dispose();
  }, 60_000);

  it("one trace leads from the command to the last tool, and the status says where the time went", async () => {
    const workspace = await mkdtemp(join(directory, "workspace-"));
    await writeFile(join(workspace, "result"), canaries.result);
    const args = ["run", "worker", `Work on ${canaries.prompt}.`, "--workspace", workspace, "--secret", "PASSWORD"];
    const ran = await platform.stigmer(args, { env: { PASSWORD: canaries.secret } });
    expect(ran, ran.stderr).toMatchObject({ exitCode: 0 });
    expect(ran.stderr).toMatch(/^completed in .*\n {2}.*getting ready · .* in all$/m);

    const spans = await spansWith(traces, ({ name, attributes }) => {
      return name === "invoke_agent worker" && attributes["stigmer.phase"] === "EXECUTION_COMPLETED";
    });
    const root = only(spans, "stigmer run");
    expect([root.service, root.parentSpanId ?? ""]).toEqual(["stigmer", ""]);
    const trace = spans.filter(({ traceId }) => traceId === root.traceId);
    const chain = (leaf: Span | undefined): string[] => {
      const names: string[] = [];
      for (let at = leaf; at; at = trace.find(({ spanId }) => spanId === at?.parentSpanId)) {
        names.unshift(`${at.service}: ${at.name}`);
      }
      return names;
    };
    const create = "ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController/create";
    const toRun = ["stigmer: stigmer run", `stigmer: ${create}`, `stigmer-server: ${create}`];
    expect(chain(only(trace, "stigmer.queue"))).toEqual([...toRun, "stigmer-server: stigmer.queue"]);
    const toAgent = [...toRun, "stigmer-agent-runner: invoke_agent worker"];
    const toTask = [...toAgent, "stigmer-agent-runner: execute_tool task"];
    const toSubAgent = [...toTask, "stigmer-agent-runner: invoke_agent general-purpose"];
    const ofName = (prefix: string): string[][] => trace.filter(({ name }) => name.startsWith(prefix)).map(chain);
    expect(ofName("execute_tool execute").toSorted(byLength)).toEqual([
      [...toAgent, "stigmer-agent-runner: execute_tool execute"],
      [...toSubAgent, "stigmer-agent-runner: execute_tool execute"],
    ]);
    const chat = "stigmer-agent-runner: chat claude-sonnet-4-5";
    const [inAgent, inSubAgent] = [
      [...toAgent, chat],
      [...toSubAgent, chat],
    ];
    expect(ofName("chat ").toSorted(byLength)).toEqual([inAgent, inAgent, inAgent, inSubAgent, inSubAgent]);
    // The runner's words to the server, its status among them.
    const sends = trace.filter(({ name, kind }) => name.endsWith("/patchStatus") && kind === 2);
    expect(sends.length).toBeGreaterThan(0);
    for (const send of sends) expect(chain(send).slice(0, 4)).toEqual(toAgent);

    const model = trace.find(({ name }) => name.startsWith("chat "));
    expect(model?.attributes).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "anthropic",
      "gen_ai.request.model": "claude-sonnet-4-5",
      "gen_ai.usage.input_tokens": expect.any(Number),
      "gen_ai.usage.output_tokens": expect.any(Number),
      "gen_ai.response.time_to_first_chunk": expect.any(Number),
      "gen_ai.response.finish_reasons": [expect.any(String)],
    });
    const tool = trace.find(({ name }) => name === "execute_tool execute");
    expect(tool?.attributes).toMatchObject({
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": "execute",
      "gen_ai.tool.call.id": expect.any(String),
      "process.executable.name": "echo",
    });

    const agentSpan = only(trace, "invoke_agent worker");
    const executionId = String(agentSpan.attributes["stigmer.execution.id"]);
    const timing = (await statusOf(executionId)).timing as Record<string, number | string>;
    expect(timing["traceparent"]).toBe(`00-${agentSpan.traceId}-${agentSpan.spanId}-01`);
    const parts = ["queuedMs", "setupMs", "modelMs", "toolsMs", "otherMs", "waitingMs"].map((key) => timing[key] ?? 0);
    expect(parts.reduce((sum: number, part) => sum + Number(part), 0)).toBe(timing["totalMs"]);
    expect(Number(timing["modelMs"])).toBeGreaterThan(0);

    // Log lines lead to the trace.
    const log = await readFile(join(platform.home, "logs/agent-runner.log"), "utf8");
    const begins = log.split("\n").find((line) => line.includes("run begins") && line.includes(executionId));
    expect(JSON.parse(begins?.slice(begins.indexOf("{")) ?? "{}")).toMatchObject({
      executionId,
      sessionId: expect.stringMatching(/^ses-/),
      traceId: root.traceId,
      spanId: agentSpan.spanId,
    });
  });

  it("an attempt that goes on with a run links to the one before", async () => {
    const workspace = await mkdtemp(join(directory, "workspace-"));
    const started = await platform.stigmer(["run", "worker", "Take your time.", "--workspace", workspace, "--detach"]);
    const id = started.stdout.trim();
    await until(async () => existsSync(join(workspace, "begun")), 60);
    expect(await platform.stigmer(["execution", "pause", id])).toMatchObject({ exitCode: 0 });
    // The command goes on until the runner has heard of it: with Temporal it asks once a second.
    const log = join(platform.home, "logs/agent-runner.log");
    const isHeard = (line: string): boolean => line.includes(id) && line.includes("run was asked to pause");
    await until(async () => (await readFile(log, "utf8")).split("\n").some(isHeard), 60);
    await writeFile(join(workspace, "go"), "");
    await until(async () => (await statusOf(id)).phase === "EXECUTION_PAUSED", 60);
    expect(await platform.stigmer(["execution", "resume", id])).toMatchObject({ exitCode: 0 });
    await until(async () => (await statusOf(id)).phase === "EXECUTION_COMPLETED", 60);
    expect((await statusOf(id)).timing).toMatchObject({ attempts: 2, waitingMs: expect.any(Number) });

    const isAttempt = ({ name, attributes }: Span): boolean =>
      name === "invoke_agent worker" && attributes["stigmer.execution.id"] === id;
    const spans = await spansWith(traces, (span) => isAttempt(span) && (span.links?.length ?? 0) > 0);
    const attempts = spans.filter(isAttempt);
    const second = attempts.find(({ links }) => (links?.length ?? 0) > 0);
    const first = attempts.find((span) => span !== second);
    expect(attempts).toHaveLength(2);
    expect(second?.links).toMatchObject([{ traceId: first?.traceId, spanId: first?.spanId }]);
    expect(second?.parentSpanId).toBe(first?.parentSpanId);
  });

  it("what is served is what the reference says", async () => {
    const reference = await readFile(join(repository, "docs/reference/metrics.md"), "utf8");
    const [ofServer = "", ofRunner = ""] = reference.split("## Runner");
    expect(await served(metricsPort)).toEqual(documented(ofServer));
    expect(await served(metricsPort + 1)).toEqual(documented(ofRunner));
    const text = await scrape(metricsPort + 1);
    expect(text).toMatch(/^stigmer_runner_tool_calls_total\{tool="execute",outcome="completed"\} [1-9]/m);
    expect(text).toMatch(/^stigmer_runner_model_tokens_total\{.*direction="input"\} [1-9]/m);
    expect(text).toMatch(/^stigmer_runner_connected\{to="engine"\} 1$/m);
    const server = await scrape(metricsPort);
    expect(server).toMatch(/^stigmer_server_calls_total\{.*method="create",code="OK"\} [1-9]/m);
    expect(server).toMatch(/^stigmer_server_runs\{phase="EXECUTION_IN_PROGRESS"\} 0$/m);
  });

  it("nothing that was asked, said, or is secret stands in traces, metrics or logs", async () => {
    const logs = ["stigmer-server.log", "agent-runner.log"].map((name) => join(platform.home, "logs", name));
    const texts = await Promise.all([
      ...[traces, ...logs].map(async (file) => [file, await readFile(file, "utf8")] as const),
      ...[metricsPort, metricsPort + 1].map(async (port) => [`port ${port}`, await scrape(port)] as const),
    ]);
    for (const [where, text] of texts) {
      expect(text.length, where).toBeGreaterThan(100);
      for (const [what, value] of Object.entries(canaries)) {
        expect(text.includes(value), `${what} in ${where}`).toBe(false);
      }
    }
  });

  async function statusOf(id: string): Promise<{ readonly phase?: string; readonly timing?: unknown }> {
    const got = await platform.stigmer(["execution", "get", id, "-o", "json"]);
    return (JSON.parse(got.stdout) as { status: { phase?: string; timing?: unknown } }).status;
  }
});

it("loads neither SDK nor exporters where nobody asked for them", async () => {
  const loaded = join(directory, "loaded");
  const hook = join(directory, "hook.mjs");
  await writeFile(
    hook,
    `import { appendFileSync } from "node:fs";
import { registerHooks } from "node:module";
registerHooks({ load: (url, context, next) => (appendFileSync(${JSON.stringify(loaded)}, url + "\\n"), next(url, context)) });
`,
  );
  const env = { NODE_OPTIONS: `--import=${hook}` };
  await using platform = await startLocal(scenario, { env });
  await platform.stigmer(["apply", "-f", join(directory, "agent.yaml")]);
  const ran = await platform.stigmer(["run", "worker", `Work on ${canaries.prompt}.`], { env: { PASSWORD: "x" } });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const urls = (await readFile(loaded, "utf8")).split("\n");
  // It has looked: what a run needs was seen.
  for (const needed of ["/langchain/", "@opentelemetry/api/", "/server/src/start-server.ts"]) {
    expect(
      urls.some((url) => url.includes(needed)),
      needed,
    ).toBe(true);
  }
  const unwanted = /@opentelemetry\/(sdk|exporter|otlp|resources|context-async-hooks|core)|prom-client|protobufjs/;
  expect(urls.filter((url) => unwanted.test(url))).toEqual([]);
}, 240_000);

/** The spans in the file, once one of them is as it should be: they are handed on each second. */
async function spansWith(file: string, isThere: (span: Span) => boolean): Promise<Span[]> {
  let spans: Span[] = [];
  await until(async () => {
    spans = await readSpans(file);
    return spans.some(isThere);
  }, 30);
  return spans;
}

async function readSpans(file: string): Promise<Span[]> {
  interface Attribute {
    readonly key: string;
    readonly value: Value;
  }
  interface Value {
    readonly stringValue?: string;
    readonly intValue?: number;
    readonly doubleValue?: number;
    readonly arrayValue?: { readonly values: readonly Value[] };
  }
  interface Line {
    readonly resourceSpans: readonly {
      readonly resource: { readonly attributes: readonly Attribute[] };
      readonly scopeSpans: readonly { readonly spans: readonly (Span & { attributes: readonly Attribute[] })[] }[];
    }[];
  }
  const valueOf = ({ stringValue, intValue, doubleValue, arrayValue }: Value): unknown =>
    stringValue ?? intValue ?? doubleValue ?? arrayValue?.values.map(valueOf);
  const record = (attributes: readonly Attribute[]): Record<string, unknown> =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)]));
  const text = await readFile(file, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => (JSON.parse(line) as Line).resourceSpans)
    .flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) =>
        spans.map((span) => ({
          ...span,
          service: String(record(resource.attributes)["service.name"]),
          attributes: record(span.attributes),
        })),
      ),
    );
}

function only(spans: readonly Span[], name: string): Span {
  const found = spans.filter((span) => span.name === name);
  expect(found, name).toHaveLength(1);
  return found[0]!;
}

function byLength(a: readonly string[], b: readonly string[]): number {
  return a.length - b.length;
}

async function scrape(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

/** Names with their types and sentences, sorted. */
async function served(port: number): Promise<string[]> {
  const text = await scrape(port);
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  return [...text.matchAll(/^# HELP (\S+) (.*)$/gm)]
    .map(([, name = "", help]) => `${name} ${types.get(name)}: ${help}`)
    .toSorted();
}

function documented(section: string): string[] {
  const rows = section.matchAll(/^\| `(\w+)` +\| (\w+) +\|[^|]*\| (.*?) +\|$/gm);
  return [...rows].map(([, name, type, help]) => `${name} ${type}: ${help}`).toSorted();
}
