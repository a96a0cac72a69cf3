import { proxyActivities } from "@temporalio/workflow";

const { work } = proxyActivities<{ work(): Promise<string> }>({ startToCloseTimeout: "1 minute" });

/** As little as a run can be on Temporal: one activity. */
export async function bare(): Promise<string> {
  return work();
}
