import type { DescMessage } from "@bufbuild/protobuf";
import { parsePath } from "@bufbuild/protobuf/reflect";
import { Violation, violationsToProto } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";

/** What is wrong with one field of a request, told as the contract's own rules tell it: in words, and as a detail. */
export interface FieldError {
  /** The request's type. */
  readonly schema: DescMessage;
  /** A path in it by the names of the contract, as `metadata.slug` or `spec.runtime_env["TOKEN"].value`. */
  readonly field: string;
  readonly message: string;
  /** Names the rule for programs. Default: the field. */
  readonly ruleId?: string;
}

/** A value that no rule of the contract forbids, but this server does. */
export function invalidField(error: FieldError): ConnectError {
  return fieldError(Code.InvalidArgument, error);
}

/** A field that names a resource which is not there, or which the caller may not see. */
export function missingReference({
  kind,
  id,
  ...where
}: Pick<FieldError, "schema" | "field"> & { readonly kind: string; readonly id: string }): ConnectError {
  return fieldError(Code.NotFound, { ...where, message: `${kind} ${id} does not exist`, ruleId: "reference.exists" });
}

function fieldError(code: Code, { schema, field, message, ruleId = field }: FieldError): ConnectError {
  const violation = new Violation(message, ruleId, parsePath(schema, field), [], false);
  const [value, desc] = violationsToProto([violation]);
  return new ConnectError(`${field}: ${message}`, code, undefined, [{ desc, value }]);
}
