import { readFileSync } from "node:fs";
import { unzipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { CliError } from "../errors.ts";
import type { ManifestFile } from "./find-files.ts";
import { readManifests } from "./read-manifests.ts";
import { skillArtifact } from "./skill-artifact.ts";

const header = (kind: string): string => `apiVersion: agentic.stigmer.ai/v1\nkind: ${kind}\n`;
const agent = (name: string): string =>
  `${header("Agent")}metadata: { name: ${name} }\nspec: { instructions: Do what is asked of you. }\n`;

function read(text: string, file: Partial<ManifestFile> = {}): ReturnType<typeof readManifests> {
  return readManifests([{ name: "agent.yaml", text, named: true, ...file }]);
}

function problemsOf(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (CliError.is(error) && error.exitCode === 1) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("bad input is refused with line and column", () => {
  const skillMd = "---\nname: other\ndescription: d\n---\nbody\n".replaceAll("\n", "\n    ");
  test.each<[what: string, text: string, expected: string[]]>([
    [
      "too short instructions",
      `${header("Agent")}metadata:\n  name: x\nspec:\n  description: y\n  instructions: short\n`,
      ["agent.yaml:7:3: spec.instructions: must be at least 10 characters"],
    ],
    [
      "missing fields, at what would hold them",
      `${header("Agent")}metadata:\n  labels:\nspec:\n  description: y\n`,
      [
        "agent.yaml:3:1: metadata.name: is required",
        "agent.yaml:5:1: spec.instructions: must be at least 10 characters",
      ],
    ],
    [
      "unknown fields",
      `${header("Agent")}metadata:\n  nme: x\nspec:\n  instruction: Do it.\n  zzzzzz: 1\n`,
      [
        "agent.yaml:4:3: metadata.nme: unknown field: did you mean name?",
        "agent.yaml:6:3: spec.instruction: unknown field: did you mean instructions?",
        "agent.yaml:7:3: spec.zzzzzz: unknown field: there are description, iconUrl, instructions, mcpServers, skillRefs, subAgents, envSpec",
      ],
    ],
    [
      "values of another type",
      `${header("Agent")}metadata:\n  name: 12\n  tags: one\nspec:\n  instructions: [a]\n  skillRefs:\n    - x\n`,
      [
        'agent.yaml:4:3: metadata.name: must be a string, not the number 12: write it in quotes, "12"',
        'agent.yaml:5:3: metadata.tags: must be a list, not the string "one"',
        "agent.yaml:7:3: spec.instructions: must be a string, not a list",
        'agent.yaml:9:7: spec.skillRefs[0]: must be a mapping of fields, not the string "x"',
      ],
    ],
    [
      "enum values that are none",
      `${agent("x").trimEnd().replace(/ }$/, ", skillRefs: [{ kind: skil, slug: x }] }")}\n`,
      ['agent.yaml:4:63: spec.skillRefs[0].kind: "skil" is unknown: did you mean skill?'],
    ],
    [
      "one field in two spellings",
      `${header("Agent")}api_version: agentic.stigmer.ai/v1\nmetadata: { name: x }\nspec: { instructions: Do what is asked. }\n`,
      ["agent.yaml:3:1: api_version: is the same field as apiVersion"],
    ],
    [
      "another API version and a misspelled kind",
      "apiVersion: apps/v1\nkind: Agnt\n",
      [
        'agent.yaml:1:1: apiVersion: is "apps/v1": write agentic.stigmer.ai/v1',
        `agent.yaml:2:1: kind: "Agnt" can't be applied: did you mean Agent?`,
      ],
    ],
    [
      "no header",
      "name: x\n",
      [
        "agent.yaml:1:1: apiVersion: is missing: write agentic.stigmer.ai/v1",
        "agent.yaml:1:1: kind: is missing: write one of Environment, Skill, McpServer, Agent, AgentInstance, Session",
      ],
    ],
    [
      "a run, which is not applied",
      header("AgentExecution"),
      [`agent.yaml:2:1: kind: "AgentExecution" can't be applied: start a run with \`stigmer run\``],
    ],
    [
      "duplicate keys",
      `${agent("x")}kind: Agent\n"spec": {}\n`,
      [
        'agent.yaml:5:1: duplicate key "kind": keep one of them',
        'agent.yaml:6:1: duplicate key "spec": keep one of them',
      ],
    ],
    [
      "syntax, told once",
      "kind: Agent\na: [1, 2\nb: 3\nc: [\n",
      ["agent.yaml:3:1: Flow sequence in block collection must be sufficiently indented and end with a ]"],
    ],
    [
      "the second document of a file",
      `${agent("x")}---\n${header("Agent")}metadata: { name: y }\nspec: { instructions: short }\n`,
      ["agent.yaml:9:9: spec.instructions: must be at least 10 characters"],
    ],
    [
      "aliases that expand to too much",
      ["a", "b", "c", "d", "e"]
        .map((key, index, keys) => `${key}: &${key} [${Array(9).fill(index === 0 ? "x" : `*${keys[index - 1]}`)}]`)
        .join("\n"),
      ["agent.yaml:1:1: its aliases expand to too much: write out what they stand for, no more than 100 are allowed"],
    ],
    ["aliases of nothing", "kind: *nothing\n", ["agent.yaml:1:1: the alias *nothing has no anchor before it"]],
    ["nesting that exhausts the stack", `[`.repeat(100_000), ["is nested too deep"]],
    ["tags", `${agent("!x y")}`, ["agent.yaml:3:19: Unresolved tag: !x"]],
    ["JSON that is cut off", '{"apiVersion": "agentic', ['agent.yaml:1:24: Missing closing "quote']],
    [
      "nothing",
      "# only a comment\n---\n",
      ["agent.yaml: has no manifest: it is empty. One begins with apiVersion: agentic.stigmer.ai/v1"],
    ],
    ["no mapping", "hello", ["agent.yaml:1:1: must be a mapping with apiVersion, kind, metadata, spec"]],
    [
      "a name without a slug",
      agent("ü"),
      ['agent.yaml:3:13: metadata.name: no slug can be made from "ü": give one in metadata.slug'],
    ],
    [
      "two manifests of one resource",
      `${agent("My Agent")}---\n${agent("my-agent")}`,
      ["agent.yaml:8:13: metadata.name: Agent my-agent is also in agent.yaml:3"],
    ],
    [
      "a skill of another name",
      `${header("Skill")}metadata: { name: mine }\nspec:\n  skillMd: |\n    ${skillMd}\n`,
      [
        "agent.yaml:5:3: spec.skillMd: its frontmatter says name: other, but metadata.name is mine: they must be the same",
      ],
    ],
    [
      "a skill without frontmatter",
      `${header("Skill")}metadata: { name: mine }\nspec: { skillMd: text }\n`,
      [
        "agent.yaml:4:9: spec.skillMd: frontmatter (line 1 of the Markdown): is missing: the file must begin with a line `---`",
      ],
    ],
    [
      "a relative workspace",
      `${header("Session")}metadata: { name: s }\nspec: { agentInstanceId: x, workspace_dir: here }\n`,
      ["agent.yaml:4:29: spec.workspaceDir: must be an absolute path"],
    ],
  ])("%s", (_, text, expected) => {
    const problems = problemsOf(text);
    expect(problems).toHaveLength(expected.length);
    for (const [index, problem] of expected.entries()) expect(problems[index]).toContain(problem);
  });

  test("in every file at once", () => {
    const files = ["a.yaml", "b.json"].map((name) => ({ name, text: "{", named: true }));
    expect(() => readManifests(files)).toThrow(/^a\.yaml:1:\d+: .*\nb\.json:1:\d+: .*$/);
  });
});

describe("good input", () => {
  test("is put in the order in which it is applied", () => {
    const environment = `${header("Environment")}metadata: { name: e }\nspec: { data: { A: { value: b, isSecret: true } } }\n`;
    const session = `${header("Session")}metadata: { name: s }\nspec: { agentInstanceId: i }\n`;
    const instance = `${header("AgentInstance")}metadata: { name: i }\nspec: { agentId: a }\n`;
    const { manifests } = read([session, instance, agent("a"), environment].join("---\n"));
    expect(manifests.map(({ kind, slug }) => `${kind}/${slug}`)).toEqual([
      "Environment/e",
      "Agent/a",
      "AgentInstance/i",
      "Session/s",
    ]);
  });

  test("may be JSON, and in either spelling of names", () => {
    const spec = { instructions: "Do what is asked.", sub_agents: [{ name: "s", instructions: "Do what is asked." }] };
    const text = JSON.stringify({ api_version: "agentic.stigmer.ai/v1", kind: "Agent", metadata: { name: "a" }, spec });
    const [manifest] = read(text).manifests;
    expect(manifest?.kind === "Agent" && manifest.message.spec?.subAgents[0]?.name).toBe("s");
  });

  test("of a folder may stand beside files that are no manifests, but not when they are named", () => {
    const scenario = "name: x\nscenarios: []\n";
    expect(read(scenario, { named: false })).toMatchObject({ manifests: [], ignored: ["agent.yaml"] });
    expect(() => read(scenario, { named: true })).toThrow("apiVersion: is missing");
    expect(() => read("kind: Agent\n", { named: false })).toThrow("apiVersion: is missing");
  });

  test.each(["agent.yaml", "skill.yaml"])("is what the examples are: %s", (name) => {
    const text = readFileSync(new URL(`../../../../examples/repo-doctor/${name}`, import.meta.url), "utf8");
    expect(read(text).manifests).toHaveLength(1);
  });
});

test("the same skill gives the same zip, with SKILL.md at its root", () => {
  const zip = skillArtifact("---\nname: x\n---\n");
  expect(skillArtifact("---\nname: x\n---\n")).toEqual(zip);
  expect(Object.entries(unzipSync(zip)).map(([name, bytes]) => [name, new TextDecoder().decode(bytes)])).toEqual([
    ["SKILL.md", "---\nname: x\n---\n"],
  ]);
});
