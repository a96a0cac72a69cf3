// A status in which every field that its descriptors know is set, so that a new one can't be forgotten.
import { type DescField, type DescMessage, fromJson, type JsonObject, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { type AgentExecutionStatus, AgentExecutionStatusSchema } from "@stigmer/protos/agentexecution/v1";

const NOT_HASHED = new Set(["audit", "callback_token", "revision"]);

/** All but what does not count into the hash. Every text and number in it is another one. */
export function filledStatus(): AgentExecutionStatus {
  let last = 100;
  const next = (): number => (last += 1);

  function message(desc: DescMessage, without: ReadonlySet<string> = new Set()): JsonObject {
    if (desc.typeName === StructSchema.typeName) return { [`key-${next()}`]: next() };
    const fields = desc.fields.filter(({ name }) => !without.has(name));
    return Object.fromEntries(fields.map((field) => [field.jsonName, whole(field)]));
  }

  function whole(field: DescField): JsonValue {
    if (field.fieldKind === "list") return [one(field), one(field)];
    if (field.fieldKind === "map") return { [`key-${next()}`]: one(field), [`key-${next()}`]: one(field) };
    return one(field);
  }

  function one(field: DescField): JsonValue {
    if (field.message !== undefined) return message(field.message);
    if (field.enum !== undefined) return field.enum.values.at(-1)?.number ?? 0;
    if (field.scalar === ScalarType.STRING) return `text-${next()}`;
    if (field.scalar === ScalarType.UINT32 || field.scalar === ScalarType.INT32) return next();
    throw new Error(`${field.toString()}: neither the hash nor its README nor this knows such a field yet.`);
  }

  return fromJson(AgentExecutionStatusSchema, message(AgentExecutionStatusSchema, NOT_HASHED));
}
