import type { WorkflowInterceptors } from "@temporalio/workflow";
import { toHeader } from "../attempt-header.ts";

/** Loaded into the workflows' isolate by this name: what is ours beyond an activity's arguments becomes a header. */
export function interceptors(): WorkflowInterceptors {
  return {
    outbound: [
      {
        scheduleActivity: (input, next) => {
          const { args, headers } = toHeader(input.activityType, input.args);
          return next({ ...input, args, headers: { ...input.headers, ...headers } });
        },
      },
    ],
  };
}
