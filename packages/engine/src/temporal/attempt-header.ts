import { fromJson, toJson, type JsonValue } from "@bufbuild/protobuf";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import type { Context } from "@temporalio/activity";
import { defaultPayloadConverter, type Headers, type Payload } from "@temporalio/common";
import type { ActivityInterceptors } from "@temporalio/worker";
import { ACTIVITY_NAMES } from "../contract.ts";
import { ATTEMPT_HEADER, type AttemptContext, type CleanupContext } from "./workflow-contract.ts";

// What is ours beyond the arguments that every runner knows, travels in a header: a runner in another language that takes two
// arguments would refuse a third (Python's does), and a header it does not know it does not look at.

/** How many arguments each activity has on the wire. */
const ARITY: Readonly<Record<string, number>> = {
  [ACTIVITY_NAMES.ensureThread]: 2,
  [ACTIVITY_NAMES.executeGraphton]: 2,
  [ACTIVITY_NAMES.cleanupSandbox]: 1,
};

/** The header as JSON. A field that is not there has the value of a first attempt of which nothing is known. */
interface AttemptHeader {
  readonly attempt?: number;
  readonly inbox?: readonly JsonValue[];
  readonly sessionId?: string;
  readonly workspaceDir?: string;
  readonly sandboxType?: number;
}

/** What a runner's activity gets. */
export interface ReceivedAttempt extends AttemptContext {
  /** There was no header: the workflow is another author's, leaves retries to Temporal, and knows nothing of runs at rest. */
  readonly isForeign?: boolean;
}

/** The workflow's side: a call's last argument becomes its header. */
export function toHeader(
  activityType: string,
  args: readonly unknown[],
): { readonly args: unknown[]; readonly headers: Record<string, Payload> } {
  const arity = ARITY[activityType] ?? args.length;
  const context = args[arity] as Partial<AttemptContext & CleanupContext> | undefined;
  if (context === undefined) return { args: [...args], headers: {} };
  const { inbox, ...rest } = context;
  const header: AttemptHeader = inbox?.length
    ? { ...rest, inbox: inbox.map((item) => toJson(InboxItemSchema, item)) }
    : rest;
  const payload = defaultPayloadConverter.toPayload(header);
  return { args: args.slice(0, arity), headers: payload ? { [ATTEMPT_HEADER]: payload } : {} };
}

/**
 * The runner's side, for `interceptors.activity` of a worker: each activity gets its header as one more argument, an
 * {@link ReceivedAttempt} or {@link CleanupContext}; also when a foreign workflow called without one.
 */
export function attemptArgument({ info }: Context): ActivityInterceptors {
  return {
    inbound: {
      execute: (input, next) => {
        const arity = ARITY[info.activityType];
        if (arity === undefined) return next(input);
        const args = [...Array.from({ length: arity }, (_, index) => input.args[index]), fromHeader(input.headers)];
        return next({ ...input, args });
      },
    },
  };
}

/** @internal */
export function fromHeader(headers: Headers): ReceivedAttempt & CleanupContext {
  const payload = headers[ATTEMPT_HEADER];
  const header = payload ? defaultPayloadConverter.fromPayload<AttemptHeader>(payload) : {};
  return {
    ...(payload ? {} : { isForeign: true }),
    attempt: header.attempt ?? 1,
    inbox: (header.inbox ?? []).map((item) => fromJson(InboxItemSchema, item, { ignoreUnknownFields: true })),
    sessionId: header.sessionId ?? "",
    workspaceDir: header.workspaceDir ?? "",
    sandboxType: header.sandboxType ?? 0,
  };
}
