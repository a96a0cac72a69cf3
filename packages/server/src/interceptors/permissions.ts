import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Principal } from "./principal.ts";
import type { PrincipalRole } from "./role.ts";

/** A role that people and programs of an organisation have. */
type OrganizationRole = Exclude<PrincipalRole, "runner">;

/** Who may call a method. */
export interface Permission {
  /** The least role of an organisation that may. Undefined: none of them. */
  readonly least?: OrganizationRole;
  /**
   * Whether runners may. `held`: under the fence of a run that they hold, in its organisation. `claims`: also without one, which
   * then claims the run that is named. `free`: always; the request itself names the fence, or nothing of an organisation. Undefined:
   * never.
   */
  readonly runner?: "held" | "claims" | "free";
}

const READ: Permission = { least: "viewer" };
const WORK: Permission = { least: "member" };
const MANAGE: Permission = { least: "owner" };
/** What a run is made from. */
const READ_FOR_RUN: Permission = { least: "viewer", runner: "held" };
const RUNNER: Permission = { runner: "free" };

/** `apply`, `create`, `update` and `delete` of a kind, and how it is read. */
function kindOf(kind: string, read: Permission): Readonly<Record<string, Permission>> {
  return {
    [`${kind}CommandController/apply`]: WORK,
    [`${kind}CommandController/create`]: WORK,
    [`${kind}CommandController/update`]: WORK,
    [`${kind}CommandController/delete`]: WORK,
    [`${kind}QueryController/get`]: read,
    [`${kind}QueryController/getByReference`]: read,
    [`${kind}QueryController/list`]: READ,
  };
}

/**
 * The whole of who may do what: the least role of every method. What is not in here nobody may call; a test fails for a method
 * without an entry. To whom the things belong that a call names is another question, answered by `Access`.
 *
 * @internal
 */
export const PERMISSIONS: Readonly<Record<string, Permission>> = {
  ...kindOf("Agent", READ_FOR_RUN),
  ...kindOf("AgentInstance", READ_FOR_RUN),
  "AgentInstanceQueryController/getByAgent": READ,
  ...kindOf("Environment", READ_FOR_RUN),
  ...kindOf("McpServer", READ_FOR_RUN),

  "SessionCommandController/apply": WORK,
  "SessionCommandController/create": WORK,
  // A runner stores which thread and which sandbox the session has, and nothing else.
  "SessionCommandController/update": { least: "member", runner: "held" },
  "SessionCommandController/delete": WORK,
  "SessionQueryController/get": READ_FOR_RUN,
  "SessionQueryController/list": READ,
  "SessionQueryController/listByAgent": READ,

  "AgentExecutionCommandController/create": WORK,
  "AgentExecutionCommandController/update": WORK,
  "AgentExecutionCommandController/delete": WORK,
  "AgentExecutionCommandController/cancel": WORK,
  "AgentExecutionCommandController/pause": WORK,
  "AgentExecutionCommandController/resume": WORK,
  "AgentExecutionCommandController/sendMessage": WORK,
  "AgentExecutionCommandController/resolveApproval": WORK,
  // What a run has come to is told by who runs it.
  "AgentExecutionCommandController/updateStatus": { runner: "claims" },
  "AgentExecutionCommandController/patchStatus": RUNNER,
  "AgentExecutionQueryController/get": READ_FOR_RUN,
  "AgentExecutionQueryController/list": READ,
  "AgentExecutionQueryController/listBySession": READ,
  "AgentExecutionQueryController/subscribe": READ,
  "AgentExecutionQueryController/watch": READ,
  "AgentExecutionQueryController/watchSession": READ,
  "AgentExecutionQueryController/watchList": READ,

  "SkillCommandController/push": WORK,
  "SkillCommandController/delete": WORK,
  "SkillQueryController/get": READ_FOR_RUN,
  "SkillQueryController/getByReference": READ_FOR_RUN,
  "SkillQueryController/getArtifact": READ_FOR_RUN,
  "SkillQueryController/list": READ,

  "ExecutionContextCommandController/apply": WORK,
  "ExecutionContextCommandController/create": WORK,
  "ExecutionContextCommandController/delete": WORK,
  "ExecutionContextQueryController/get": READ_FOR_RUN,
  "ExecutionContextQueryController/getByReference": READ_FOR_RUN,

  "OrganizationCommandController/apply": MANAGE,
  "OrganizationCommandController/create": MANAGE,
  "OrganizationCommandController/update": MANAGE,
  "OrganizationCommandController/delete": MANAGE,
  "OrganizationQueryController/get": READ,
  "OrganizationQueryController/find": READ,
  "OrganizationQueryController/findMyOrganizations": READ,

  // Members have their own keys, owners all of the organisation.
  "ApiKeyCommandController/create": WORK,
  "ApiKeyCommandController/update": WORK,
  "ApiKeyCommandController/delete": WORK,
  "ApiKeyQueryController/get": READ,
  "ApiKeyQueryController/getByKeyHash": READ,
  "ApiKeyQueryController/findAll": READ,

  "AuditQueryController/list": MANAGE,

  "RunnerController/hello": RUNNER,
  "RunnerController/takeLeases": RUNNER,
  "RunnerController/heartbeat": RUNNER,
  "RunnerController/completeLease": RUNNER,
  "RunnerController/releaseLease": RUNNER,
  "RunnerController/claimExecution": RUNNER,
  "RunnerController/checkExecution": RUNNER,
  "RunnerController/beginToolCall": RUNNER,
  "RunnerController/finishToolCall": RUNNER,
  "RunnerController/recordToolCalls": RUNNER,
  "RunnerController/recordRun": RUNNER,
  "RunnerController/ensureThread": RUNNER,
  "RunnerController/resolveRun": { runner: "held" },
};

const NOBODY: Permission = {};

/** @internal */
export function permissionName(service: DescService, method: DescMethod): string {
  return `${service.name}/${method.localName}`;
}

export function permissionOf(service: DescService, method: DescMethod): Permission {
  return PERMISSIONS[permissionName(service, method)] ?? NOBODY;
}

const RANKS: Readonly<Record<OrganizationRole, number>> = { viewer: 1, member: 2, owner: 3 };
const RANKED: readonly OrganizationRole[] = ["viewer", "member", "owner"];

/** Whether one role may all that the other may. No role of an organisation is a runner's, nor the other way round. */
export function includesRole(role: PrincipalRole, other: PrincipalRole): boolean {
  if (role === "runner" || other === "runner") return role === other;
  return RANKS[role] >= RANKS[other];
}

/**
 * The roles that may, the least of them first.
 *
 * @internal
 */
export function rolesOf({ least, runner }: Permission): readonly PrincipalRole[] {
  const roles: PrincipalRole[] = least === undefined ? [] : RANKED.slice(RANKED.indexOf(least));
  return runner === undefined ? roles : [...roles, "runner"];
}

/** Throws PERMISSION_DENIED that names the roles which may. `what` is the method, for people. */
export function requireRole({ role }: Principal, permission: Permission, what: string): void {
  const { least, runner } = permission;
  if (role === "runner" ? runner !== undefined : least !== undefined && includesRole(role, least)) return;
  const roles = rolesOf(permission);
  const needed = roles.length === 0 ? "is not for callers of any role" : `takes the role ${roles.join(" or ")}`;
  throw new ConnectError(`${what} ${needed}: yours is ${role}`, Code.PermissionDenied);
}
