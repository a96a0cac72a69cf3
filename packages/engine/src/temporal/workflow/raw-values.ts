import { ApplicationFailure, RawValue, rawValueTypeInfo } from "@temporalio/common";
import { defineWorkflowOptions } from "@temporalio/workflow";
import { FAILURE_TYPES } from "../failures.ts";
import { payloadConverter } from "../payload-converter.ts";

// What comes from outside is taken as it came and read by ourselves: what the SDK itself can't read would stop a workflow for
// good, whereas here it fails a start, drops a signal or costs an attempt.

/** Makes a workflow get its arguments as raw values. */
export function takesRawArguments<A extends readonly (RawValue | undefined)[], R>(
  workflow: (...args: [...A]) => Promise<R>,
): void {
  const inputTypes = Array.from({ length: workflow.length }, () => rawValueTypeInfo);
  defineWorkflowOptions(workflow, { staticOptions: { typeInfo: { inputTypes } } });
}

/** What a raw value holds; undefined when there is none. Throws an {@link ApplicationFailure} that says what is wrong with it. */
export function valueOf(value: RawValue | undefined): unknown {
  if (!value) return undefined;
  try {
    return payloadConverter.fromPayload(value.payload);
  } catch (error) {
    if (error instanceof ApplicationFailure) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw ApplicationFailure.nonRetryable(`A value could not be read: ${reason}`, FAILURE_TYPES.unreadable);
  }
}

export function raw<T>(value: T): RawValue<T> {
  return new RawValue(value, payloadConverter);
}
