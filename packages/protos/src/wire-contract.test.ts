import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type DescField, type DescFile, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";

// Clients and servers exist that know nothing but the fixture's names and numbers: generated code must hold every line of
// it, and what is more must keep out of their way.

const genDir = join(import.meta.dirname, "gen/ai");
const fixture = readFileSync(join(import.meta.dirname, "__fixtures__/wire-contract.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

// The one exception to "new values from 100 up": others already use these numbers with these meanings.
const laterPhases = ["EXECUTION_WAITING_FOR_APPROVAL = 6", "EXECUTION_PAUSED = 7", "EXECUTION_TERMINATED = 8"];

/** What the generated code says, in the fixture's words. */
const generated: string[] = [];

beforeAll(async () => {
  const modules = readdirSync(genDir, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith("_pb.js"));
  for (const name of modules.sort()) {
    const exported = (await import(pathToFileURL(join(genDir, name)).href)) as Record<string, unknown>;
    const file = Object.entries(exported).find(([key]) => key.startsWith("file_"))?.[1] as DescFile;
    generated.push(...describeFile(file));
  }
});

function describeFile(file: DescFile): string[] {
  const path = `${file.name}.proto`;
  return [
    ...file.messages.flatMap((message) => [
      `message ${message.typeName} in ${path}`,
      ...message.fields.map((field) => describeField(message, field)),
    ]),
    ...file.enums.flatMap((type) => [
      `enum ${type.typeName} in ${path}`,
      ...type.values.map((value) => `value ${type.typeName}/${value.name} = ${value.number}`),
    ]),
    ...file.services.flatMap((service) => [
      `service ${service.typeName} in ${path}`,
      ...service.methods.map((method) => {
        const request = streamIf(method.methodKind.startsWith("client") || method.methodKind.startsWith("bidi"));
        const response = streamIf(method.methodKind.startsWith("server") || method.methodKind.startsWith("bidi"));
        return `method ${service.typeName}/${method.name}(${request}${method.input.typeName}) returns (${response}${method.output.typeName})`;
      }),
    ]),
  ];
}

function describeField(message: DescMessage, field: DescField): string {
  const oneof = field.oneof === undefined ? "" : ` of oneof ${field.oneof.name}`;
  return `field ${message.typeName}/${field.name} = ${field.number}: ${typeOf(field)}${oneof}`;
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "list":
      return `repeated ${elementOf(field)}`;
    case "map":
      return `map<${ScalarType[field.mapKey].toLowerCase()}, ${elementOf(field)}>`;
    default:
      return elementOf(field);
  }
}

function elementOf(field: DescField): string {
  if (field.message !== undefined) {
    return field.message.typeName;
  }
  return field.enum?.typeName ?? ScalarType[field.scalar as ScalarType].toLowerCase();
}

function streamIf(streams: boolean): string {
  return streams ? "stream " : "";
}

/** `field a.B/c = 1: …` → `["field", "a.B", 1]`: what kind of line, on which type, and its number when it has one. */
function partsOf(line: string): { sort: string; owner: string; number: number } {
  const groups = /^(?<sort>\w+) (?<owner>[\w.]+)(?:\/\w+(?: = (?<number>\d+))?)?/.exec(line)?.groups;
  return { sort: groups?.["sort"] ?? "", owner: groups?.["owner"] ?? "", number: Number(groups?.["number"]) };
}

describe("the generated code", () => {
  test("is compared with the whole fixture", () => {
    const bySort = Object.entries(Object.groupBy(fixture, (line) => partsOf(line).sort));
    expect(Object.fromEntries(bySort.map(([sort, lines]) => [sort, lines?.length]))).toEqual({
      service: 20,
      method: 63,
      message: 88,
      field: 296,
      enum: 9,
      value: 56,
    });
    expect(new Set(fixture).size).toBe(532);
  });

  test("holds every name, number and type of it", () => {
    const names = new Set(generated);
    expect(fixture.filter((line) => !names.has(line))).toEqual([]);
  });

  test("adds only where existing clients do not look", () => {
    const known = new Set(fixture);
    const knownTypes = new Set(fixture.map((line) => partsOf(line).owner));
    const additions = generated.filter((line) => !known.has(line));
    const inTheWay = additions.filter((line) => {
      const { sort, owner, number } = partsOf(line);
      if (!knownTypes.has(owner) || sort === "method") {
        return false;
      }
      if (sort === "field") {
        return number < 1000;
      }
      return !(
        sort === "value" &&
        (number >= 100 || laterPhases.some((phase) => line.endsWith(`.ExecutionPhase/${phase}`)))
      );
    });
    expect(additions.length).toBeGreaterThan(100);
    expect(inTheWay).toEqual([]);
  });
});
