import type { DescService } from "@bufbuild/protobuf";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceCommandController, AgentInstanceQueryController } from "@stigmer/protos/agentinstance/v1";
import { ApiKeyCommandController, ApiKeyQueryController } from "@stigmer/protos/apikey/v1";
import { AuditQueryController } from "@stigmer/protos/audit/v1";
import { EnvironmentCommandController, EnvironmentQueryController } from "@stigmer/protos/environment/v1";
import {
  ExecutionContextCommandController,
  ExecutionContextQueryController,
} from "@stigmer/protos/executioncontext/v1";
import { McpServerCommandController, McpServerQueryController } from "@stigmer/protos/mcpserver/v1";
import { OrganizationCommandController, OrganizationQueryController } from "@stigmer/protos/organization/v1";
import { RunnerController } from "@stigmer/protos/runner/v1";
import { SessionCommandController, SessionQueryController } from "@stigmer/protos/session/v1";
import { SkillCommandController, SkillQueryController } from "@stigmer/protos/skill/v1";

/** Every service of Stigmer's own API: what health and reflection tell of, and whose messages are checked for secrets. */
export const API_SERVICES: readonly DescService[] = [
  AgentCommandController,
  AgentQueryController,
  AgentInstanceCommandController,
  AgentInstanceQueryController,
  SessionCommandController,
  SessionQueryController,
  AgentExecutionCommandController,
  AgentExecutionQueryController,
  SkillCommandController,
  SkillQueryController,
  EnvironmentCommandController,
  EnvironmentQueryController,
  ExecutionContextCommandController,
  ExecutionContextQueryController,
  McpServerCommandController,
  McpServerQueryController,
  OrganizationCommandController,
  OrganizationQueryController,
  ApiKeyCommandController,
  ApiKeyQueryController,
  AuditQueryController,
  RunnerController,
];
