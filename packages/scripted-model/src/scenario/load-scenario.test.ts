import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ScriptedModelError } from "../errors.ts";
import { checkScenario, loadScenario } from "./load-scenario.ts";
import { scenarioSchema } from "./schema.ts";

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "scenario-"));
  file = join(folder, "scenario.yaml");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function problemsOf(text: string): Promise<string[]> {
  await writeFile(file, text);
  const error: unknown = await loadScenario(file).catch((error: unknown) => error);
  if (!ScriptedModelError.is(error)) throw new Error(`expected a ScriptedModelError, got ${String(error)}`);
  const lines = error.message.split("\n");
  expect(lines[0]).toContain(file);
  expect(lines).toHaveLength(error.problems.length + 1);
  return lines.slice(1).map((line) => line.trim());
}

const around = (turn: string, more = ""): string =>
  `name: n\nscenarios:\n  - name: s\n${more}    turns:\n      - ${turn}\n`;

describe("loadScenario", () => {
  it("reads a file", async () => {
    await writeFile(file, around("text: hello"));
    expect(await loadScenario(file)).toEqual({ name: "n", scenarios: [{ name: "s", turns: [{ text: "hello" }] }] });
  });

  it("says which file it cannot read", async () => {
    const missing = join(folder, "missing.yaml");
    await expect(loadScenario(missing)).rejects.toMatchObject({
      code: "scenario-unreadable",
      message: expect.stringContaining(missing) as string,
    });
  });

  it.each([
    ["an empty file", "", ["1:1 expected object, received null"]],
    ["broken YAML", "name: [\n", [expect.stringMatching(/^2:1 Flow sequence in block collection must be/)]],
    ["a key given twice", "name: a\nname: b\n", ["2:1 Map keys must be unique"]],
    ["an alias without anchor", "name: *a\n", [expect.stringContaining("Unresolved alias")]],
    ["a missing field", "name: n\n", ["1:1 scenarios: expected array, received undefined"]],
    [
      "an unknown field",
      around("text: t", "    match:\n      humann: x\n"),
      ["5:7 scenarios[0].match.humann: is not a field of a scenario file here"],
    ],
    [
      "a text match of the wrong kind",
      around("text: t", "    match:\n      human: 3\n"),
      ["5:7 scenarios[0].match.human: expected a string, { contains: … } or { regex: … }"],
    ],
    [
      "a regular expression that does not parse",
      around("text: t", '    match:\n      human: { regex: "(" }\n'),
      ["5:16 scenarios[0].match.human.regex: Invalid regular expression: /(/m: Unterminated group"],
    ],
    [
      "a turn that says nothing",
      around("{}"),
      ["5:9 scenarios[0].turns[0]: says nothing: give text, thinking, toolCalls, a refusal or an error"],
    ],
    [
      "an error that ends, and nothing after it",
      around("error: { status: 500, times: 2 }"),
      [
        "5:9 scenarios[0].turns[0].error: `times` and `afterChunks` need an answer beside them: give text, thinking or toolCalls",
      ],
    ],
    [
      "a template that does not parse, deep in arguments",
      around("toolCalls:\n          - name: t\n            args:\n              a: [x, '{{ result( }}']"),
      [
        '8:22 scenarios[0].turns[0].toolCalls[0].args.a[1]: template "{{ result( }}": expected a tool\'s name or a number from 1 as the first argument; write {{ "{{" }} for the two braces themselves',
      ],
    ],
    [
      "a capture that nobody declared",
      around('text: "{{ skil }}"', "    capture:\n      skill: { from: system, pattern: x }\n"),
      ["7:9 scenarios[0].turns[0].text: {{ skil }} names no capture rule of this scenario (its rules: skill)"],
    ],
    [
      "several problems, in the order of the lines",
      around("{ text: 1, chunkSize: 0 }", "    match: { model: [] }\n"),
      [
        "4:14 scenarios[0].match.model: expected a string, { contains: … } or { regex: … }",
        "6:11 scenarios[0].turns[0].text: expected string, received number",
        "6:20 scenarios[0].turns[0].chunkSize: Too small: expected number to be >=1",
      ],
    ],
  ])("refuses %s", async (_name, text, expected) => {
    expect(await problemsOf(text)).toEqual(expected);
  });

  it("refuses two scenarios of one name", async () => {
    const twice = `${around("text: a")}  - name: s\n    turns: [{ text: b }]\n`;
    expect(await problemsOf(twice)).toEqual(['6:5 scenarios[1].name: "s" is the name of an earlier scenario']);
  });
});

it("checks an object by the same rules", () => {
  expect(() => checkScenario({ name: "n", scenarios: [{ name: "s", turns: [{}] }] })).toThrow(
    "  scenarios[0].turns[0]: says nothing",
  );
});

it("publishes the schema it checks by", async () => {
  const schema = z.toJSONSchema(scenarioSchema);
  // Written anew by `vitest --update`.
  await expect(`${JSON.stringify(schema, undefined, 2)}\n`).toMatchFileSnapshot("../../scenario.schema.json");
});
