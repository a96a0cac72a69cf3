// For everyone who talks to a Stigmer server.
export { createClient, type ClientOptions, type ResourceClients, type StigmerClient } from "./create-client.ts";
export { ClientError, type ClientErrorCode } from "./errors.ts";
export type { ExecutionClient } from "./executions.ts";
export type { ListInput, Page, ReferenceInput } from "./resource-client.ts";
export type {
  AgentClient,
  AgentInstanceClient,
  EnvironmentClient,
  McpServerClient,
  ResourceClient,
  SessionClient,
  SkillClient,
} from "./resources.ts";
export type { ExecutionUpdate, WatchOptions } from "./watch-execution.ts";

// For runners.
export { createStatusSender, type StatusSender, type StatusSenderOptions } from "./status-sender.ts";
export { sendStatus, type SendStatusOptions } from "./send-status.ts";
export type { BeginToolCallInput, FinishToolCallInput, HelloInput, RunnerClient } from "./runner.ts";
export type { Fence } from "./with-fence.ts";
