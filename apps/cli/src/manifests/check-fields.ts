import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { closest } from "../closest.ts";
import type { ManifestProblem } from "./problems.ts";
import { camelCase, type FieldPath, type ManifestDocument } from "./read-documents.ts";

/**
 * Holds the plain values of a document against its message: unknown fields, fields written twice in two spellings,
 * values of another type. Says where each stands, which protobuf's own JSON reader can't.
 */
export function checkFields(document: ManifestDocument, desc: DescMessage): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const report = (path: FieldPath, message: string): void => {
    problems.push(document.problemAt(path, message));
  };
  checkMessage(desc, document.value, { path: [], report });
  return problems;
}

interface Place {
  readonly path: FieldPath;
  readonly report: (path: FieldPath, message: string) => void;
}

const at = ({ path, report }: Place, step: string | number): Place => ({ path: [...path, step], report });

function checkMessage(desc: DescMessage, value: unknown, place: Place): void {
  // Struct, Timestamp and their like have a JSON form of their own, which their reader checks.
  if (desc.typeName.startsWith("google.protobuf.")) return;
  if (!isRecord(value)) return place.report(place.path, `must be a mapping of fields, not ${nameOf(value)}`);
  const seen = new Map<string, string>();
  for (const [key, content] of Object.entries(value)) {
    const field = desc.fields.find(({ name, jsonName }) => key === jsonName || key === name);
    if (field === undefined) {
      const names = desc.fields.map(({ jsonName }) => jsonName);
      const near = closest(camelCase(key), names);
      const advice = near === undefined ? `there are ${names.join(", ")}` : `did you mean ${near}?`;
      place.report([...place.path, key], `unknown field: ${advice}`);
      continue;
    }
    const before = seen.get(field.name);
    if (before !== undefined) place.report([...place.path, key], `is the same field as ${before}`);
    seen.set(field.name, key);
    // An empty value (`labels:`) is an unset field.
    if (content !== null) checkField(field, content, at(place, key));
  }
}

function checkField(field: DescField, value: unknown, place: Place): void {
  switch (field.fieldKind) {
    case "list":
      if (!Array.isArray(value)) return place.report(place.path, `must be a list, not ${nameOf(value)}`);
      for (const [index, item] of value.entries()) {
        if (field.listKind === "message") checkMessage(field.message, item, at(place, index));
        else checkValue(field, item, at(place, index));
      }
      return;
    case "map":
      if (!isRecord(value)) return place.report(place.path, `must be a mapping, not ${nameOf(value)}`);
      for (const [key, item] of Object.entries(value)) {
        if (field.mapKind === "message") checkMessage(field.message, item, at(place, key));
        else checkValue(field, item, at(place, key));
      }
      return;
    case "message":
      return checkMessage(field.message, value, place);
    default:
      return checkValue(field, value, place);
  }
}

function checkValue(field: DescField, value: unknown, { path, report }: Place): void {
  if (field.enum !== undefined) {
    const names = field.enum.values.map(({ name }) => name);
    if (typeof value === "number" && field.enum.value[value] !== undefined) return;
    if (typeof value === "string" && names.includes(value)) return;
    const near = typeof value === "string" ? closest(value, names) : undefined;
    const advice = near === undefined ? `must be one of ${names.slice(1).join(", ")}` : `did you mean ${near}?`;
    return report(path, `${JSON.stringify(value)} is unknown: ${advice}`);
  }
  const expected = expectedType(field.scalar);
  if (typeof value === expected) return;
  const quote = expected === "string" && (typeof value === "number" || typeof value === "boolean");
  report(path, `must be a ${expected}, not ${nameOf(value)}${quote ? `: write it in quotes, "${value}"` : ""}`);
}

function expectedType(scalar: ScalarType | undefined): "string" | "boolean" | "number" {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return "string";
    case ScalarType.BOOL:
      return "boolean";
    default:
      return "number";
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nameOf(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a mapping" : `the ${typeof value} ${JSON.stringify(value)}`;
}
