import { create, fromBinary } from "@bufbuild/protobuf";
import { createId } from "@stigmer/protos";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { type AgentExecution, AgentExecutionSchema as schema } from "@stigmer/protos/agentexecution/v1";
import { AgentInstanceSchema } from "@stigmer/protos/agentinstance/v1";
import { ApiResourceOwnerScope, type ApiResourceReference } from "@stigmer/protos/apiresource";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import type { Principal } from "../interceptors/principal.ts";
import type { ResourceRecord, ResourceStore } from "../store/resource-store.ts";
import type { StoreTransaction } from "../store/store.ts";
import type { Access } from "./access.ts";
import { invalidField, missingReference } from "./field-errors.ts";
import { findReferred, type Resources } from "./resources.ts";
import { threadOf } from "./session-threads.ts";

/** Where a run belongs. */
export interface ResolvedSession {
  readonly session: Session;
  /** The agent behind the session's instance. */
  readonly agentId: string;
}

export type SessionResolver = (
  tx: StoreTransaction,
  given: AgentExecution,
  principal: Principal,
) => Promise<ResolvedSession>;

/**
 * Finds the session that a run names, or makes one on the default instance of the agent that it names. Throws NOT_FOUND
 * with the field for what is not there, INVALID_ARGUMENT when neither is named or the two contradict.
 */
export function createSessionResolver(options: {
  readonly sessions: Pick<Resources<Session>, "createIn">;
  readonly access: Access;
}): SessionResolver {
  const { sessions, access } = options;

  async function joined(tx: StoreTransaction, id: string, principal: Principal): Promise<ResolvedSession> {
    const record = await tx.resources.get("Session", id);
    if (!record || !access.canRead(principal, record)) {
      throw missingReference({ schema, field: "spec.session_id", kind: "Session", id });
    }
    const session = fromBinary(SessionSchema, record.body);
    const instanceId = session.spec?.agentInstanceId ?? "";
    return { session, agentId: agentOf(await tx.resources.get("AgentInstance", instanceId), instanceId) };
  }

  async function agentBy(tx: StoreTransaction, id: string, principal: Principal): Promise<ResourceRecord> {
    const record = await tx.resources.get("Agent", id);
    if (record && access.canRead(principal, record)) return record;
    throw missingReference({ schema, field: "spec.agent_id", kind: "Agent", id });
  }

  async function agentReferred(
    tx: StoreTransaction,
    reference: ApiResourceReference,
    principal: Principal,
  ): Promise<ResourceRecord> {
    const defaultScope = ApiResourceOwnerScope.organization;
    const record = await findReferred(tx, reference, { kind: "Agent", defaultScope, principal, access });
    if (record) return record;
    const id = `${reference.org || principal.org}/${reference.slug}`;
    throw missingReference({ schema, field: "spec.agent_ref", kind: "Agent", id });
  }

  async function started(
    tx: StoreTransaction,
    record: ResourceRecord,
    { message, principal }: { readonly message: string; readonly principal: Principal },
  ): Promise<ResolvedSession> {
    const agentInstanceId = fromBinary(AgentSchema, record.body).status?.defaultInstanceId ?? "";
    const id = createId("Session");
    const org = record.org || principal.org;
    const session = create(SessionSchema, {
      metadata: { id, name: id, org, ownerScope: ApiResourceOwnerScope.organization },
      // Its first run follows at once: to give it its thread then would be a transaction that the run waits for.
      spec: { agentInstanceId, subject: subjectOf(message), threadId: threadOf(id) },
    });
    const instance = await tx.resources.get("AgentInstance", agentInstanceId);
    const stored = await sessions.createIn(instance ? having(tx, instance) : tx, session, principal);
    return { session: stored, agentId: agentOf(instance, agentInstanceId) };
  }

  return async (tx, given, principal) => {
    const { sessionId = "", agentId: id = "", agentRef, message = "" } = given.spec ?? {};
    const named = agentRef && (await agentReferred(tx, agentRef, principal));
    if (named && id !== "" && id !== named.id) {
      throw invalidField({ schema, field: "spec.agent_ref", message: `is ${named.id}, but agent_id is ${id}` });
    }
    if (sessionId === "") {
      if (!named && id === "") {
        throw invalidField({ schema, field: "spec", message: "session_id, agent_id or agent_ref is required" });
      }
      return started(tx, named ?? (await agentBy(tx, id, principal)), { message, principal });
    }
    const found = await joined(tx, sessionId, principal);
    const asked = named?.id ?? id;
    if (asked !== "" && asked !== found.agentId) {
      const field = named ? "agent_ref" : "agent_id";
      const contradiction = `the session talks with ${found.agentId}; leave out one of ${field} and session_id`;
      throw invalidField({ schema, field: `spec.${field}`, message: contradiction });
    }
    return found;
  };
}

/** The transaction with what was read in it already: nobody looks for it again. */
function having(tx: StoreTransaction, record: ResourceRecord): StoreTransaction {
  const get: ResourceStore["get"] = async (kind, id) =>
    kind === record.kind && id === record.id ? record : tx.resources.get(kind, id);
  return { ...tx, resources: { ...tx.resources, get } };
}

function agentOf(instance: ResourceRecord | undefined, id: string): string {
  if (!instance) throw missingReference({ schema, field: "spec.session_id", kind: "its AgentInstance", id });
  return fromBinary(AgentInstanceSchema, instance.body).spec?.agentId ?? "";
}

/** The first line of the message, as long as fits a list. */
function subjectOf(message: string): string {
  const line = message.trim().split("\n", 1)[0] ?? "";
  return line.length <= 80 ? line : `${line.slice(0, 79)}…`;
}
