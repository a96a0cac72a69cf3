import { type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import { field as fieldOption, type FieldRules, Ignore, type Rule } from "../src/gen/buf/validate/validate_pb.js";

/** A JSON Schema of draft 7, which every editor understands. */
export type JsonSchema = { [keyword: string]: unknown };

/** What the validation rules of a field come to in JSON Schema. What only CEL can say is left to the server and the CLI. */
export interface FieldConstraints {
  readonly keywords: JsonSchema;
  /** For what is in a list or a map. */
  readonly items: JsonSchema;
  readonly keys: JsonSchema;
  /** Whether the field has to be there: what is left out is empty, which the rules may refuse. */
  readonly required: boolean;
}

export function constraintsOf(field: DescField): FieldConstraints {
  if (!hasOption(field, fieldOption)) return { keywords: {}, items: {}, keys: {}, required: false };
  const rules = getOption(field, fieldOption);
  const { type } = rules;
  const items = type.case === "repeated" ? type.value.items : type.case === "map" ? type.value.values : undefined;
  const keys = type.case === "map" ? type.value.keys : undefined;
  const inner = field.fieldKind === "list" || field.fieldKind === "map" ? field.message : undefined;
  return {
    keywords: { ...keywordsOf(rules), ...(field.fieldKind === "message" ? celKeywords(rules.cel, field.message) : {}) },
    items: items === undefined ? {} : { ...keywordsOf(items), ...(inner && celKeywords(items.cel, inner)) },
    keys: keys === undefined ? {} : keywordsOf(keys),
    required: rules.required || (rules.ignore !== Ignore.IF_ZERO_VALUE && refusesEmpty(rules)),
  };
}

function refusesEmpty({ type }: FieldRules): boolean {
  switch (type.case) {
    case "string":
      return type.value.minLen > 0n || type.value.const !== "";
    case "enum":
      return type.value.notIn.includes(0);
    case "int32":
      return type.value.greaterThan.case === "gte" && type.value.greaterThan.value > 0;
    default:
      return false;
  }
}

function keywordsOf({ type, cel, ignore }: FieldRules): JsonSchema {
  switch (type.case) {
    case "string": {
      const { minLen, maxLen, maxBytes, in: allowed, wellKnown } = type.value;
      // A text has at least as many bytes as characters.
      const most = [maxLen, maxBytes].filter((length) => length > 0n).map(Number);
      return {
        ...(type.value.const === "" ? {} : { const: type.value.const }),
        ...(minLen > 0n ? { minLength: Number(minLen) } : {}),
        ...(most.length > 0 ? { maxLength: Math.min(...most) } : {}),
        ...(allowed.length > 0 ? { enum: [...allowed] } : {}),
        ...(wellKnown.case === "uri" ? { format: "uri" } : {}),
        ...patternOf(cel, ignore === Ignore.IF_ZERO_VALUE),
      };
    }
    case "int32":
    case "double": {
      const { greaterThan, lessThan } = type.value;
      return {
        ...(greaterThan.case === "gte" ? { minimum: greaterThan.value } : {}),
        ...(lessThan.case === "lte" ? { maximum: lessThan.value } : {}),
      };
    }
    case "repeated": {
      const { minItems, maxItems } = type.value;
      return {
        ...(minItems > 0n ? { minItems: Number(minItems) } : {}),
        ...(maxItems > 0n ? { maxItems: Number(maxItems) } : {}),
      };
    }
    case "map":
      return type.value.maxPairs > 0n ? { maxProperties: Number(type.value.maxPairs) } : {};
    default:
      // With patterns that stand without rules of a type, as those of strings do.
      return patternOf(cel, ignore === Ignore.IF_ZERO_VALUE);
  }
}

/** `this.matches('^a$')`, `this.startsWith('/')`. */
function patternOf(rules: readonly Rule[], mayBeEmpty: boolean): JsonSchema {
  for (const { expression } of rules) {
    const matches = /^this\.matches\('(?<pattern>[^']*)'\)$/.exec(expression)?.groups?.["pattern"];
    const start = /^this\.startsWith\('(?<text>[\w/-]*)'\)$/.exec(expression)?.groups?.["text"];
    const pattern = matches ?? (start === undefined ? undefined : `^${start}`);
    if (pattern !== undefined) return { pattern: mayBeEmpty ? `${pattern}|^$` : pattern };
  }
  return {};
}

/** `this.kind == 43`, `this.kind in [52, 53]`: an enum of the message that has to have one of some values. */
function celKeywords(rules: readonly Rule[], message: DescMessage): JsonSchema {
  for (const { expression } of rules) {
    const { name, one, several } =
      /^this\.(?<name>\w+) (?:== (?<one>\d+)|in \[(?<several>[\d, ]+)\])$/.exec(expression)?.groups ?? {};
    const field = message.fields.find((field) => field.name === name);
    if (field?.fieldKind !== "enum") continue;
    const numbers = (one ?? several ?? "").split(",").map(Number);
    const names = numbers.flatMap((number) => field.enum.value[number]?.name ?? []);
    return {
      properties: { [field.jsonName]: { enum: names } },
      ...(numbers.includes(0) ? {} : { required: [field.jsonName] }),
    };
  }
  return {};
}
