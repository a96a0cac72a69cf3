// For everyone who talks to a Stigmer server.
export { createClient, type ClientOptions, type StigmerClient } from "./create-client.ts";
export { ClientError, type ClientErrorCode } from "./errors.ts";
export { tlsTroubleOf } from "./tls-trouble.ts";
export type { FieldViolation } from "./violations.ts";
export type { CallOptions } from "./call.ts";
export type { List, Page, PageInput } from "./pages.ts";
export type { DeleteOptions, ListInput, ReferenceInput } from "./resource-client.ts";
export type { ResourceInput } from "./resource-input.ts";
export type { OrgOptions, ResourceClients } from "./resource-clients.ts";
export type {
  AgentClient,
  AgentInput,
  AgentInstanceClient,
  AgentInstanceInput,
  EnvironmentClient,
  EnvironmentInput,
  ExecutionContextClient,
  ExecutionContextInput,
  McpServerClient,
  McpServerInput,
  PushSkillInput,
  ResourceClient,
  SessionClient,
  SessionInput,
  SkillClient,
} from "./resources.ts";
export type { AuditClient, AuditListInput } from "./audit.ts";
export type { ApiKeyClient, ApiKeyInput, CreatedApiKey, OrganizationClient, OrganizationInput } from "./tenancy.ts";
export type { AgentChoice } from "./agent-choice.ts";
export type { ExecutionClient, ExecutionInput, ListExecutionsInput, SendMessageOptions } from "./executions.ts";
export type { ApprovalAnswer } from "./approval-answer.ts";
export { phaseName, type PhaseName } from "./phases.ts";
export type { AttachOptions, Run, RunInput, RunResult } from "./run.ts";
export type { ExecutionUpdate, Resync } from "./watch/followed-run.ts";
export type { ReconnectOptions } from "./watch/reconnecting.ts";
export { finalAnswer } from "./watch/said-text.ts";
export type { SessionUpdate, WatchSessionOptions } from "./watch/session-run.ts";
export type { WatchOptions } from "./watch/watch-execution.ts";
export type { ListUpdate, WatchListOptions } from "./watch/watch-list.ts";

// For runners.
export { createStatusSender, type StatusSender, type StatusSenderOptions } from "./status-sender.ts";
export { sendStatus, type SendStatusOptions } from "./send-status.ts";
export type {
  BeginToolCallInput,
  FinishToolCallInput,
  HelloInput,
  PatchedToEnd,
  RememberSandboxInput,
  RunnerClient,
  RunRecord,
} from "./runner.ts";
export type { Fence } from "./with-fence.ts";
