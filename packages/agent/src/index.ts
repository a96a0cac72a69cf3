// To run an agent.
export { createAgent } from "./create-agent.ts";
export type {
  Agent,
  AgentContext,
  AgentEvent,
  AgentOptions,
  AgentRun,
  RunControl,
  RunRequest,
  SteeringMessage,
  SubAgentSpec,
} from "./agent.ts";
export type {
  AnthropicModelConfig,
  ModelConfig,
  ModelProvider,
  OllamaModelConfig,
  OpenAiModelConfig,
} from "./models/model-config.ts";

// To know whether a model answers.
export { testModel, type TestedModel } from "./models/test-model.ts";

// To measure what it does.
export type { BegunModelCall, BegunToolCall, CallObserver, EndedModelCall, EndedToolCall } from "./call-observer.ts";

// To ask people before tools are run.
export type { ApprovalOptions } from "./approvals/approvals-middleware.ts";
export type { ApprovalAction, ApprovalRule } from "./approvals/policy.ts";
export type { ApprovalDecision, ApprovalEvent } from "./approvals/run-approvals.ts";
export type { ToolRisk } from "./approvals/tool-risks.ts";

// To limit what a run may use.
export type { CostOf, ModelCall, RunLimits, RunUsage } from "./limits/run-limits.ts";

// To tell what went wrong.
export { AgentError, type AgentErrorCode } from "./errors.ts";
export { toAgentError } from "./to-agent-error.ts";

// To keep a run's steps: on this machine, or where many can read them.
export {
  createSqliteCheckpointer,
  openSqliteCheckpoints,
  type SqliteCheckpointer,
  type SqliteCheckpointerOptions,
  type SqliteCheckpoints,
} from "./checkpointer/create-sqlite-checkpointer.ts";
export {
  createPostgresCheckpointer,
  type PostgresCheckpointer,
  type PostgresCheckpointerOptions,
} from "./checkpointer/create-postgres-checkpointer.ts";

// To have a tool's effect happen once.
export { createMemoryLedger } from "./ledger/create-memory-ledger.ts";
export { createSqliteLedger, type SqliteLedger, type SqliteLedgerOptions } from "./ledger/create-sqlite-ledger.ts";
export type { ToolCallClass, ToolCallIntent, ToolCallLedger, ToolCallStart } from "./ledger/tool-call-ledger.ts";

// To give an agent the tools of MCP servers.
export { createMcpConnections } from "./mcp/create-mcp-connections.ts";
export type {
  McpConnections,
  McpConnectionsOptions,
  McpOpenRequest,
  McpSelection,
  McpToolset,
} from "./mcp/mcp-connections.ts";
export type {
  McpDockerServerConfig,
  McpHttpServerConfig,
  McpPort,
  McpServerConfig,
  McpStdioServerConfig,
  McpVolume,
} from "./mcp/mcp-config.ts";
