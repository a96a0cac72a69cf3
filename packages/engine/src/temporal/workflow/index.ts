// What a workflow worker registers: each export under its own name. Read by Temporal's bundler, imported by nobody.
export { invokeAgentExecution as InvokeAgentExecutionWorkflow } from "./invoke-agent-execution.ts";
// The same under the name that the ecosystem's starters use.
export { invokeAgentExecution as "stigmer/agent-execution/invoke" } from "./invoke-agent-execution.ts";
export { cleanupSandbox as CleanupSandboxWorkflow } from "./cleanup-sandbox.ts";
