import { createValidator, type Validator, type Violation } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";
import { pathToString } from "@bufbuild/protobuf/reflect";

/**
 * Holds every request against the rules in the protos. INVALID_ARGUMENT carries each violation as a detail
 * (`buf.validate.Violations`); the message names them all, so that a person mends a manifest in one go.
 */
export function validateRequests(): Interceptor {
  const validator = createValidator();
  const explaining: Validator = {
    validate(schema, message) {
      const result = validator.validate(schema, message);
      // The interceptor takes the text from here. By itself it names the first violation and counts the others.
      if (result.kind === "invalid") result.error.message = result.violations.map(describeViolation).join("; ");
      return result;
    },
  };
  return createValidateInterceptor({ validator: explaining });
}

function describeViolation({ field, ruleId, message }: Violation): string {
  const path = pathToString(field);
  const text = ruleId === "string.const" ? message.replace(/^must equal `(.*)`$/s, 'value must equal "$1"') : message;
  return path === "" ? text : `${path}: ${text}`;
}
