// The promise, point by point: a process that is killed anywhere around its tool calls, and another that goes on from there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type McpNotes, openMcpNotes } from "./mcp-notes.ts";
import type { KillPoint } from "./run-to-kill-point.ts";
import { answer, collect, openWorkbench, type Workbench } from "./workbench.ts";
import { createSqliteLedger } from "../ledger/create-sqlite-ledger.ts";
import type { ToolCallClass } from "../ledger/tool-call-ledger.ts";

interface Call {
  readonly toolClass: ToolCallClass;
  /** What the model reads when the call is made as if nothing had happened. */
  readonly result: RegExp;
  /** How often it had its effect. */
  effects(root: string): number;
}

const lines = (root: string, file: string, line: string): number => {
  const path = join(root, "work", file);
  return existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .filter((text) => text === line).length
    : 0;
};

/** By the ids that the model gives them. */
const calls: Readonly<Record<string, Call>> = {
  shell: { toolClass: "once", result: /^did shell\n/, effects: (root) => lines(root, "effects", "shell") },
  write: { toolClass: "repeatable", result: /note\.txt/, effects: (root) => lines(root, "note.txt", "end") },
  mcp: { toolClass: "once", result: /^appended mcp$/, effects: (root) => lines(root, "mcp", "mcp") },
  deep: { toolClass: "once", result: /^did deep\n/, effects: (root) => lines(root, "effects", "deep") },
  count: { toolClass: "repeatable", result: /^1 lines$/, effects: (root) => lines(root, "counted", "count") },
  edit: { toolClass: "once", result: /replaced 1 occurrence/, effects: (root) => lines(root, "note.txt", "+") },
};
const ids = Object.keys(calls);
/** These are made side by side, so that the death of one is also the death of others that are under way. */
const sideBySide = [
  ["shell", "write", "mcp"],
  ["deep", "count"],
];

function scenarios(root: string): Scenario[] {
  const inWork = (file: string): string => join(root, "work", file);
  const execute = (id: string): ScriptedToolCall => {
    return { id, name: "execute", args: { command: `echo ${id} >> effects; echo did ${id}` } };
  };
  return [
    {
      name: "sub",
      match: { human: "Dig deep" },
      turns: [
        {
          toolCalls: [
            execute("deep"),
            { id: "count", name: "notes__count", args: { file: inWork("note.txt"), log: inWork("counted") } },
          ],
        },
        { text: "Report." },
      ],
    },
    {
      name: "main",
      turns: [
        {
          toolCalls: [
            execute("shell"),
            { id: "write", name: "write_file", args: { file_path: "note.txt", content: "end\n" } },
            { id: "mcp", name: "notes__append", args: { file: inWork("mcp"), line: "mcp" } },
          ],
        },
        {
          toolCalls: [
            { id: "task", name: "task", args: { description: "Dig deep", subagent_type: "general-purpose" } },
          ],
        },
        {
          toolCalls: [
            { id: "edit", name: "edit_file", args: { file_path: "note.txt", old_string: "end", new_string: "+\nend" } },
          ],
        },
        { text: "Done." },
      ],
    },
  ];
}

/** Runs the child until it has killed itself, and tells at which call. */
async function killAt(root: string, url: string, point: KillPoint): Promise<string> {
  const script = fileURLToPath(new URL("run-to-kill-point.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script, root, url, JSON.stringify(point)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];
  expect(signal).toBe("SIGKILL");
  return idOf(readFileSync(join(root, "victim"), "utf8"));
}

const idOf = (callKey: string): string => callKey.split("/").at(-1) ?? "";

/** What the ledger knows of each call. */
function ledgerRows(root: string): Record<string, "open" | "recorded"> {
  const database = new DatabaseSync(join(root, "ledger.db"), { readOnly: true });
  try {
    const rows = database.prepare("SELECT call_key, result IS NULL AS open FROM tool_calls").all();
    return Object.fromEntries(
      rows.map((row) => [idOf(String(row["call_key"])), row["open"] === 1 ? "open" : "recorded"]),
    );
  } finally {
    database.close();
  }
}

/** What the model was told of each call, by the last request of each agent. A call with two results would throw. */
function toldResults({ model }: Workbench): Record<string, string> {
  const told: Record<string, string> = {};
  for (const scenario of ["sub", "main"]) {
    const request = model.requests.findLast((request) => request.scenario === scenario);
    const { messages } = request!.body as { messages: { content: string | Block[] }[] };
    for (const block of messages.flatMap(({ content }) => (typeof content === "string" ? [] : content))) {
      if (block.type !== "tool_result") continue;
      expect(told).not.toHaveProperty(block.tool_use_id);
      told[block.tool_use_id] = typeof block.content === "string" ? block.content : (block.content[0]?.text ?? "");
    }
  }
  return told;
}

interface Block {
  readonly type: string;
  readonly tool_use_id: string;
  readonly content: string | { text: string }[];
}

/** Goes on, or begins, in this process. */
async function goOn(
  bench: Workbench,
  notes: McpNotes,
): Promise<{ begun: string[]; finished: string[]; answer: string }> {
  const ledgers = await createSqliteLedger({ path: join(bench.directory, "ledger.db") });
  const inner = ledgers.forRun("aex-1");
  const begun: string[] = [];
  const finished: string[] = [];
  const agent = await bench.agent({
    tools: notes.tools,
    ledger: {
      begin(intent, signal) {
        begun.push(idOf(intent.callKey));
        return inner.begin(intent, signal);
      },
      finish(callKey, result, signal) {
        finished.push(idOf(callKey));
        return inner.finish(callKey, result, signal);
      },
    },
  });
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  const events = await collect(run);
  ledgers.close();
  return { begun, finished, answer: answer(events) };
}

/** One for each side of each intent and each result of the whole run, and one for each result that the run runs ahead of. */
export const allKillPoints: readonly KillPoint[] = ids.flatMap((_, index) => [
  ...(["before", "after"] as const).map((when) => ({ step: "begin", when, n: index + 1 }) as const),
  ...(["before", "during", "after"] as const).map((when) => ({ step: "finish", when, n: index + 1 }) as const),
]);

/** Declares the tests: an undisturbed run, and one that is killed at each of the points. */
export function sweep(points: readonly KillPoint[]): void {
  const root = mkdtempSync(join(tmpdir(), "kill-sweep-"));
  let notes: McpNotes;
  beforeAll(async () => {
    notes = await openMcpNotes();
  });
  afterAll(async () => {
    await notes[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
  });

  it("asks the ledger twice for each call of an undisturbed run", async () => {
    const directory = join(root, "undisturbed");
    await using bench = await openWorkbench(scenarios(directory), directory);
    const { begun, finished } = await goOn(bench, notes);
    expect(begun.toSorted()).toEqual(ids.toSorted());
    expect(finished.toSorted()).toEqual(ids.toSorted());
    expect(ids.map((id) => [id, calls[id]?.effects(directory)])).toEqual(ids.map((id) => [id, 1]));
    const told = toldResults(bench);
    for (const id of ids) expect(told[id]).toMatch(calls[id]!.result);
  });

  describe.concurrent("a process killed", { timeout: 180_000 }, () => {
    it.each(points)("$when $step $n does nothing twice, and says what nobody knows", async (point) => {
      const directory = join(root, `${point.step}-${point.when}-${point.n}`);
      await using bench = await openWorkbench(scenarios(directory), directory);
      const victim = await killAt(directory, bench.model.url, point);
      const atDeath = ledgerRows(directory);
      const effectsOfVictim = calls[victim]!.effects(directory);
      const known = {
        begin: { before: undefined, during: undefined, after: "open" },
        finish: { before: "open", during: "open", after: "recorded" },
      } as const;
      expect(atDeath[victim]).toBe(known[point.step][point.when]);
      expect(effectsOfVictim).toBe(point.step === "begin" ? 0 : 1);

      const later = await goOn(bench, notes);
      expect(later.answer).toBe("Done.");
      const told = toldResults(bench);
      const isUnknown = (id: string): boolean => atDeath[id] === "open" && calls[id]?.toolClass === "once";
      const unknown = ids.filter(isUnknown);
      const faults = ids.flatMap((id) => {
        const { toolClass, result, effects } = calls[id]!;
        const count = effects(directory);
        // What was under way beside the victim may have come to its effect, or not; a repeatable call is then made again.
        const least = isUnknown(id) ? 0 : 1;
        const most = atDeath[id] === "open" && toolClass === "repeatable" ? 2 : 1;
        const exact = id === victim && isUnknown(id) ? effectsOfVictim : count;
        const rightlyTold = isUnknown(id) ? /outcome of this call is unknown/ : result;
        const asked = later.begun.filter((other) => other === id).length;
        const finishes = later.finished.filter((other) => other === id).length;
        return [
          ...(count < least || count > most || count !== exact ? [`${id}: ${count} effects`] : []),
          ...(rightlyTold.test(told[id] ?? "") ? [] : [`${id}: the model was told ${told[id]}`]),
          ...(asked > 1 ? [`${id}: begun ${asked} times`] : []),
          ...(finishes === (atDeath[id] === "recorded" || isUnknown(id) ? 0 : 1)
            ? []
            : [`${id}: finished ${finishes} times`]),
        ];
      });
      expect(faults).toEqual([]);
      // Under the same keys as before the death: no call has got a second one.
      expect(Object.keys(ledgerRows(directory)).toSorted()).toEqual(ids.toSorted());
      // Calls are unknown only when they were under way beside the one that died, or are that one.
      const beside = sideBySide.find((group) => group.includes(victim)) ?? [victim];
      expect(beside).toEqual(expect.arrayContaining(unknown));
    });
  });
}
