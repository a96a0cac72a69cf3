import { createRegistry, type Registry } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { AgentSchema } from "@stigmer/protos/agent/v1";

/** A field that breaks a rule of the contract. */
export interface FieldViolation {
  /** Its path in the message, such as `metadata.slug`, `spec.skill_refs[0].kind` or `spec.data["TOKEN"]`; empty for a rule about the whole message. */
  readonly field: string;
  /** What is expected, for people. */
  readonly message: string;
  /** Names the rule: `string.min_len`, `required`, or an id of the contract's own, such as `metadata.slug`. */
  readonly ruleId: string;
}

/** `buf.validate.Violations`, as far as it is read here. */
interface Violations {
  readonly violations: readonly {
    readonly field?: { readonly elements: readonly PathElement[] };
    readonly message: string;
    readonly ruleId: string;
  }[];
}

interface PathElement {
  readonly fieldName: string;
  readonly subscript: { readonly case: string | undefined; readonly value?: unknown };
}

// The contract's files carry the rules, and with them the message that violations come in.
let registry: Registry | undefined;

/** The violations that a server sent along with its refusal. */
export function findViolations(error: ConnectError): FieldViolation[] {
  if (error.details.length === 0) return [];
  registry ??= createRegistry(...AgentSchema.file.dependencies);
  return error
    .findDetails(registry)
    .filter(({ $typeName }) => $typeName === "buf.validate.Violations")
    .flatMap((detail) => (detail as unknown as Violations).violations)
    .map(({ field, message, ruleId }) => ({ field: (field?.elements ?? []).map(toText).join("."), message, ruleId }));
}

function toText({ fieldName, subscript }: PathElement): string {
  if (subscript.case === undefined) return fieldName;
  const key = subscript.case === "stringKey" ? JSON.stringify(subscript.value) : String(subscript.value);
  return `${fieldName}[${key}]`;
}
