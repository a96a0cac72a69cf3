import { createValidator, ValidationError } from "@bufbuild/protovalidate";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";

/**
 * Holds every request against the rules in the protos. INVALID_ARGUMENT carries each violation as a detail
 * (`buf.validate.Violations`); the message names them all, so that a person mends a manifest in one go.
 */
export function validateRequests(): Interceptor {
  const validate = createValidateInterceptor({ validator: createValidator() });
  return (next) => {
    const validated = validate(next);
    return async (request) => {
      try {
        return await validated(request);
      } catch (error) {
        throw error instanceof ConnectError && error.cause instanceof ValidationError
          ? explain(error, error.cause)
          : error;
      }
    };
  };
}

function explain(error: ConnectError, cause: ValidationError): ConnectError {
  const text = cause.violations.map((violation) => withoutRuleId(violation.toString())).join("; ");
  const explained = new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
  explained.details = error.details;
  return explained;
}

/** `field: message [rule.id]` without the last part, which tells a person nothing. */
function withoutRuleId(text: string): string {
  return text.replace(/ \[[\w.]+\]$/, "");
}
