import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { DeterminismViolationError } from "@temporalio/workflow";
import { Worker } from "@temporalio/worker";
import { beforeAll, describe, expect, it } from "vitest";
import { NEW_HISTORY_SCENARIO, PLANTED_SECRET, SCENARIOS } from "../__fixtures__/scenarios.ts";
import { makeWorkflowBundle } from "../bundled-workflows.ts";
import { dataConverter } from "../data-converter.ts";
import { quietRuntime } from "../quiet-runtime.ts";

// A run lives longer than a version of its workflow: what earlier versions began (recorded by scripts/record-histories.ts on a
// real server), this one has to go on with, command by command.

const folder = join(import.meta.dirname, "../__fixtures__/histories");
const histories = globSync("*.json", { cwd: folder })
  .toSorted()
  .map((file) => [basename(file, ".json"), readFileSync(join(folder, file), "utf8")] as const);

const replay = async (name: string, history: string, code: string): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle: { code }, dataConverter }, JSON.parse(history), `aex-${name}`);

describe("recorded histories", () => {
  let code = "";
  beforeAll(async () => {
    quietRuntime({ debug() {}, info() {}, warn() {}, error() {} });
    ({ code } = await makeWorkflowBundle());
  });

  it("there is one of each scenario", () => {
    const names = new Set(histories.map(([name]) => name));
    const wanted = [...SCENARIOS, NEW_HISTORY_SCENARIO].map(({ name }) => name);
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
    expect(names).toContain("new-history-2");
  });

  it.each(histories)("%s is replayed by this version of the workflow", async (name, history) => {
    await replay(name, history, code);
  });

  it.each([
    ["calls another activity", "completed", 'ensureThread: "EnsureThread"', 'ensureThread: "FindThread"'],
    ["waits where it did not", "drained", "FREE_HANDBACKS = 3", "FREE_HANDBACKS = 0"],
    ["does not wait where it did", "lost-runner", '"runner-lost" ? 0', '"runner-lost" ? 1'],
    ["tries once less", "given-up", "attempt >= settings.maxAttempts", "attempt >= settings.maxAttempts - 1"],
  ])("a workflow that %s fails the replay", async (_what, name, now, changed) => {
    expect(code).toContain(now);
    const [, history = ""] = histories.find(([recorded]) => recorded === name) ?? [];
    await expect(replay(name, history, code.replace(now, changed))).rejects.toThrow(DeterminismViolationError);
  });

  it.each(histories)("%s holds no secret of a runner, and no path of a machine", (_name, history) => {
    const payloads = [...history.matchAll(/"data": "([^"]*)"/g)].map(([, data]) =>
      Buffer.from(data ?? "", "base64").toString("utf8"),
    );
    expect(payloads.length).toBeGreaterThan(0);
    const all = [history, ...payloads].join("\n");
    expect(all).not.toContain(PLANTED_SECRET);
    expect(all).not.toContain(import.meta.dirname.split("/packages/")[0]);
  });
});
