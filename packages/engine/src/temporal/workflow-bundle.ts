import type { WorkflowBundleOption } from "@temporalio/worker";

/**
 * The workflows, ready for `Worker.create({ workflowBundle })`. Made by the build; when this package runs from its source, made
 * now, which takes about a second (once for each process).
 */
export function workflowBundle(): Promise<WorkflowBundleOption> {
  throw new Error("Written next.");
}
