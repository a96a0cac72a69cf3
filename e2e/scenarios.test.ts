import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { loadScenario, startScriptedModel } from "@stigmer/scripted-model";
import * as csvAnalyst from "@stigmer/examples/csv-analyst";
import { makeSales } from "@stigmer/examples/csv-analyst/make-sales";
import * as logDetective from "@stigmer/examples/log-detective";
import * as repoDoctor from "@stigmer/examples/repo-doctor";
import * as skillUser from "@stigmer/examples/skill-user";
import * as stockClerk from "@stigmer/examples/stock-clerk";

// Each scenario against the smallest agent there is: what the scripted model asks for must lead to the right outcome by
// itself, before the platform comes into play.
interface Example {
  readonly name: string;
  readonly skill?: string;
  /** An MCP server, by its name and its program. */
  readonly server?: { readonly name: string; readonly program: string };
  readonly message: string;
  prepare(workspaceDir: string): void;
  check(workspaceDir: string, output: string): void;
}

const examples: readonly Example[] = [
  {
    name: "repo-doctor",
    skill: "fix-report",
    message: repoDoctor.message,
    prepare: repoDoctor.prepare,
    check: repoDoctor.check,
  },
  {
    name: "csv-analyst",
    message: csvAnalyst.message,
    prepare: csvAnalyst.prepare,
    check: csvAnalyst.check,
  },
  {
    name: "skill-user",
    skill: "release-notes",
    message: skillUser.message,
    prepare: skillUser.prepare,
    check: skillUser.check,
  },
  {
    name: "log-detective",
    message: logDetective.message,
    prepare: logDetective.prepare,
    check: logDetective.check,
  },
  {
    name: "stock-clerk",
    server: { name: "warehouse", program: stockClerk.env["WAREHOUSE_PROGRAM"] ?? "" },
    message: stockClerk.message,
    prepare: stockClerk.prepare,
    check: stockClerk.check,
  },
];

let workspace: string;
beforeEach(async () => {
  workspace = await mkdtemp(join(tmpdir(), "stigmer example-"));
});
afterEach(() => rm(workspace, { recursive: true, force: true }));

type Arguments = Readonly<Record<string, unknown>>;
type Tools = Readonly<Record<string, (args: Arguments) => Promise<string>>>;
const text = (args: Arguments, name: string): string => String(args[name]);
const file = (args: Arguments): string => resolve(workspace, text(args, "file_path"));

/** The agent's tools by their real names, with what their real results look like. */
const ownTools: Tools = {
  async write_todos() {
    return "Updated todo list";
  },
  async read_file(args) {
    const lines = (await readFile(file(args), "utf8")).split("\n");
    const from = Number(args["offset"] ?? 0);
    const shown = lines.slice(from, from + Number(args["limit"] ?? 100));
    return [`@@ lines ${from + 1}-${from + shown.length} of ${lines.length} @@`, ...shown].join("\n");
  },
  async write_file(args) {
    await writeFile(file(args), text(args, "content"));
    return `Wrote ${file(args)}`;
  },
  async edit_file(args) {
    const [before, old] = [await readFile(file(args), "utf8"), text(args, "old_string")];
    expect(before.split(old)).toHaveLength(2);
    await writeFile(
      file(args),
      before.replace(old, () => text(args, "new_string")),
    );
    return `Edited ${file(args)}`;
  },
  execute: (args) =>
    new Promise((settle) => {
      const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` };
      execFile("/bin/sh", ["-c", text(args, "command")], { cwd: workspace, env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : error.code;
        settle([stdout, stderr && `[stderr] ${stderr}`, `Exit code: ${code}`].filter(Boolean).join("\n"));
      });
    }),
};

/** Which arguments each tool takes, all strings unless said otherwise. */
interface Parameters {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
}
const ownParameters: Readonly<Record<string, Parameters>> = {
  ls: { required: ["path"] },
  read_file: { required: ["file_path"], optional: ["offset", "limit"] },
  write_file: { required: ["file_path", "content"] },
  edit_file: { required: ["file_path", "old_string", "new_string"], optional: ["replace_all"] },
  glob: { required: ["pattern"], optional: ["path"] },
  grep: { required: ["pattern"], optional: ["path", "glob"] },
  execute: { required: ["command"] },
  write_todos: { required: ["todos"] },
  task: { required: ["description", "subagent_type"] },
};
const types: Record<string, string> = {
  offset: "number",
  limit: "number",
  quantity: "number",
  replace_all: "boolean",
  todos: "object",
};

interface Toolbox extends AsyncDisposable {
  readonly tools: Tools;
  readonly parameters: Readonly<Record<string, Parameters>>;
}

/** The agent's tools with those of its MCP server, which is started as it is. */
async function openTools({ server }: Example): Promise<Toolbox> {
  if (server === undefined) return { tools: ownTools, parameters: ownParameters, async [Symbol.asyncDispose]() {} };
  const client = new Client({ name: "smallest-agent", version: "1" });
  await client.connect(new StdioClientTransport({ command: process.execPath, args: [server.program], cwd: workspace }));
  const offered = (await client.listTools()).tools.map((tool) => ({ ...tool, key: `${server.name}__${tool.name}` }));
  const call = async (name: string, args: Arguments): Promise<string> => {
    const { content } = (await client.callTool({ name, arguments: args })) as { content: { text: string }[] };
    return content.map((block) => block.text).join("");
  };
  return {
    tools: {
      ...ownTools,
      ...Object.fromEntries(offered.map(({ key, name }) => [key, (args: Arguments) => call(name, args)])),
    },
    parameters: {
      ...ownParameters,
      ...Object.fromEntries(offered.map(({ key, inputSchema }) => [key, { required: inputSchema.required ?? [] }])),
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
}

interface Block {
  type: string;
  text: string;
  id: string;
  name: string;
  input: Arguments;
}

/** Asks, runs what is asked for, tells the results, until an answer asks for nothing more. */
async function runAgent(
  { url, system, tools }: { readonly url: string; readonly system: string; readonly tools: Tools },
  message: string,
): Promise<{ output: string; turns: number }> {
  const messages: object[] = [{ role: "user", content: message }];
  for (let turns = 1; ; turns += 1) {
    const response = await fetch(`${url}/v1/messages`, {
      method: "POST",
      headers: { "x-api-key": "any", "anthropic-version": "2023-06-01" },
      body: JSON.stringify({
        model: "claude-sonnet-4-5",
        max_tokens: 8000,
        system,
        messages,
        tools: [...Object.keys(tools), "task"].map((name) => ({ name, input_schema: { type: "object" } })),
      }),
    });
    const body = (await response.json()) as { content?: Block[] };
    const { content } = body;
    if (content === undefined) throw new Error(JSON.stringify(body));
    messages.push({ role: "assistant", content });
    const calls = content.filter(({ type }) => type === "tool_use");
    if (calls.length === 0) return { output: content.map((block) => block.text).join(""), turns };
    const results: object[] = [];
    for (const { id, name, input } of calls) {
      // A sub-agent is an agent like this one.
      const handOver = async (args: Arguments): Promise<string> =>
        (await runAgent({ url, system, tools }, text(args, "description"))).output;
      const run = name === "task" ? handOver : tools[name];
      if (run === undefined) throw new Error(`no tool ${name}`);
      results.push({ type: "tool_result", tool_use_id: id, content: await run(input) });
    }
    messages.push({ role: "user", content: results });
  }
}

describe.each(examples)("$name", (example) => {
  const { name, skill, message, prepare, check } = example;
  const folder = join(import.meta.dirname, "../examples", name);

  it("reaches its outcome by what the scenario asks for", async () => {
    prepare(workspace);
    const path = join(workspace, `.stigmer/skills/${skill}.md`);
    if (skill !== undefined) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, await readFile(join(folder, `skills/${skill}/SKILL.md`)));
    }
    const scenario = await loadScenario(join(folder, "scenario.yaml"));
    await using model = await startScriptedModel({ scenario });
    const system = `You work.\n\n- **${skill}**: How to.\n  File: ${path}\n\n- Working directory: ${workspace}`;
    await using toolbox = await openTools(example);
    const { output, turns } = await runAgent({ url: model.url, system, tools: toolbox.tools }, message);
    check(workspace, output);
    expect(turns).toBe(scenario.scenarios[0]?.turns.length);
  });

  it("has a check that notices when nothing was done", () => {
    prepare(workspace);
    expect(() => check(workspace, "All done, 8 entries, discount.js.")).toThrow(Error);
  });

  it("calls tools as they are declared", async () => {
    const { scenarios } = await loadScenario(join(folder, "scenario.yaml"));
    const calls = scenarios.flatMap(({ turns }) => turns.flatMap(({ toolCalls = [] }) => toolCalls));
    expect(calls.length).toBeGreaterThan(2);
    await using toolbox = await openTools(example);
    for (const { name, args = {} } of calls) {
      const { required, optional = [] } = toolbox.parameters[name] ?? { required: ["a tool of that name"] };
      const given = Object.keys(args);
      expect({ name, missing: required.filter((key) => !given.includes(key)) }).toEqual({ name, missing: [] });
      expect({ name, unknown: given.filter((key) => ![...required, ...optional].includes(key)) }).toEqual({
        name,
        unknown: [],
      });
      for (const [key, value] of Object.entries(args))
        expect({ name, [key]: typeof value }).toEqual({ name, [key]: types[key] ?? "string" });
    }
  });
});

it.each(examples.flatMap(({ name, skill }) => (skill === undefined ? [] : [[name, skill] as const])))(
  "%s applies the skill that lies in its folder, %s",
  async (name, skill) => {
    const folder = join(import.meta.dirname, "../examples", name);
    const manifest = await readFile(join(folder, "skill.yaml"), "utf8");
    const [, block = ""] = manifest.split("  skillMd: |\n");
    expect(block.replaceAll(/^ {4}/gm, "")).toBe(await readFile(join(folder, `skills/${skill}/SKILL.md`), "utf8"));
    expect(manifest).toContain(`name: ${skill}\n`);
  },
);

it("has sales data that its script makes", async () => {
  expect(makeSales()).toBe(
    await readFile(join(import.meta.dirname, "../examples", "csv-analyst/workspace/sales.csv"), "utf8"),
  );
});
