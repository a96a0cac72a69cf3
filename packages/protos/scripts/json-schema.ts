import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Comments } from "./comments.ts";
import { constraintsOf, type JsonSchema } from "./rules.ts";

export interface ManifestSchema {
  readonly id: string;
  readonly kind: string;
  /** What a manifest's document is. */
  readonly message: DescMessage;
}

/**
 * The JSON Schema of manifests of a kind: field names in camelCase as they are written, and in snake_case as they are read too
 * (not suggested); nothing else, so that editors show typing errors.
 */
export function manifestSchema({ id, kind, message }: ManifestSchema, comments: Comments): JsonSchema {
  const definitions = new Map<string, JsonSchema>();
  const nameOf = ({ typeName }: DescMessage): string => typeName.replace(/^ai\.stigmer\./, "");

  function define(inner: DescMessage): string {
    const name = nameOf(inner);
    if (!definitions.has(name)) {
      // Known before it is looked into: a message may hold itself.
      definitions.set(name, {});
      definitions.set(name, messageSchema(inner, `#/definitions/${name}`));
    }
    return `#/definitions/${name}`;
  }

  function messageSchema(inner: DescMessage, pointer: string): JsonSchema {
    const properties: Record<string, JsonSchema> = {};
    const required: string[] = [];
    const all: JsonSchema[] = [];
    for (const field of inner.fields) {
      const { name, jsonName } = field;
      properties[jsonName] = inner === message && name === "status" ? statusSchema(field) : fieldSchema(field);
      if (name !== jsonName) properties[name] = { $ref: `${pointer}/properties/${jsonName}`, doNotSuggest: true };
      if (!constraintsOf(field).required) continue;
      if (name === jsonName) required.push(name);
      else all.push({ anyOf: [{ required: [jsonName] }, { required: [name] }] });
    }
    for (const { fields } of inner.oneofs) {
      const names = fields.map(({ jsonName }) => jsonName);
      const pairs = names.flatMap((one, at) => names.slice(at + 1).map((other) => [one, other]));
      all.push(...pairs.map((pair) => ({ not: { required: pair } })));
    }
    return {
      description: comments.ofMessage(inner),
      type: "object",
      properties,
      ...(required.length > 0 ? { required } : {}),
      ...(all.length > 0 ? { allOf: all } : {}),
      additionalProperties: false,
    };
  }

  /** Taken from what a server answered, it does no harm. */
  function statusSchema(field: DescField): JsonSchema {
    return { description: comments.ofField(field), type: "object", doNotSuggest: true };
  }

  function fieldSchema(field: DescField): JsonSchema {
    const description = comments.ofField(field);
    const { keywords, items, keys } = constraintsOf(field);
    switch (field.fieldKind) {
      case "list":
        return { description, type: "array", items: narrow(valueSchema(field), items), ...keywords };
      case "map": {
        const names = Object.keys(keys).length > 0 ? { propertyNames: keys } : {};
        return {
          description,
          type: "object",
          additionalProperties: narrow(valueSchema(field), items),
          ...names,
          ...keywords,
        };
      }
      default:
        return { description, ...narrow(valueSchema(field), keywords) };
    }
  }

  /** What one value is: the field's own, or one in its list or map. */
  function valueSchema(field: DescField): JsonSchema {
    if (field.message !== undefined) return referred(field.message);
    if (field.enum !== undefined) return enumSchema(field.enum, field);
    return scalarSchema(field.scalar);
  }

  function referred(inner: DescMessage): JsonSchema {
    if (inner.typeName === "google.protobuf.Struct") return { type: "object" };
    if (inner.typeName === "google.protobuf.Timestamp") return { type: "string", format: "date-time" };
    return { $ref: define(inner) };
  }

  function enumSchema(type: DescEnum, field: DescField): JsonSchema {
    const comment = comments.ofValues(type);
    // The first stands for nothing said: where something must be said it is wrong.
    const from = constraintsOf(field).required ? 1 : 0;
    return {
      type: "string",
      enum: type.values.slice(from).map(({ name }) => name),
      markdownEnumDescriptions: comment.slice(from),
    };
  }

  const whole = messageSchema(message, "#");
  (whole["properties"] as Record<string, JsonSchema>)["kind"] = { const: kind };
  const inOrder = [...definitions].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const head = { $schema: "http://json-schema.org/draft-07/schema#", $id: id, title: kind };
  return { ...head, ...whole, definitions: Object.fromEntries(inOrder) };
}

/** What stands beside `$ref` is not looked at in draft 7. */
function narrow(schema: JsonSchema, keywords: JsonSchema): JsonSchema {
  const isPlain = !("$ref" in schema) || Object.keys(keywords).length === 0;
  return isPlain ? { ...schema, ...keywords } : { allOf: [schema], ...keywords };
}

function scalarSchema(scalar: ScalarType | undefined): JsonSchema {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return { type: "string" };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { type: "number" };
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", minimum: 0 };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: "integer" };
    default:
      return { type: ["integer", "string"] };
  }
}
