import { type DescField, type DescMessage, type DescOneof, getOption, hasOption } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import {
  field as fieldRules,
  FieldRulesSchema,
  message as messageRules,
  oneof as oneofRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** What the contract asks of a field, each as `name value`: `min_len 1`, `required`. */
export function describeRules(field: DescField): string[] {
  if (!hasOption(field, fieldRules)) return [];
  return setRules(reflect(FieldRulesSchema, getOption(field, fieldRules)));
}

/** What a message asks of its fields together, in words. */
export function describeMessageRules(message: DescMessage): string[] {
  return hasOption(message, messageRules) ? getOption(message, messageRules).cel.map((rule) => rule.message) : [];
}

export function isRequiredOneof(oneof: DescOneof): boolean {
  return hasOption(oneof, oneofRules) && getOption(oneof, oneofRules).required;
}

function setRules(rules: ReflectMessage): string[] {
  return rules.fields
    .filter((field) => rules.isSet(field))
    .flatMap((field): string[] => {
      const { name } = field;
      // A rule in CEL is code; its message says it to people.
      if (name === "cel") return celMessages(rules);
      switch (field.fieldKind) {
        case "message":
          return setRules(rules.get(field)).map((rule) =>
            /^(items|keys|values)$/.test(name) ? `${name}: ${rule}` : rule,
          );
        case "list":
          return [`${name} ${Array.from(rules.get(field)).join(", ")}`];
        case "enum":
          return [`${name} ${field.enum.value[rules.get(field)]?.name ?? ""}`];
        case "scalar": {
          const value: unknown = rules.get(field);
          return [
            value === true ? name : `${name} ${typeof value === "string" ? JSON.stringify(value) : String(value)}`,
          ];
        }
        default:
          return [];
      }
    });
}

function celMessages(rules: ReflectMessage): string[] {
  const { cel } = rules.message as unknown as { cel: readonly { message: string }[] };
  return cel.map(({ message }) => message);
}
