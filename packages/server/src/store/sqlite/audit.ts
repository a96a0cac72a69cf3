import type { AuditRecord, AuditStore } from "../audit-store.ts";
import { clauses, type Condition, inOrder, PAGE } from "./conditions.ts";
import type { Session } from "./sql.ts";
import { inParts } from "./tail.ts";

const APPEND = `
  INSERT INTO audit_entries (
    created_at, id, principal_id, org, role, method, resource_kind, resource_id, code, client_address, trace_id
  ) VALUES (
    :created_at, :id, :principal_id, :org, :role, :method, :resource_kind, :resource_id, :code, :client_address, :trace_id
  )`;

const COLUMNS = `
  created_at AS "createdAt", id, principal_id AS "principalId", org, role, method, resource_kind AS "resourceKind",
  resource_id AS "resourceId", code, client_address AS "clientAddress", trace_id AS "traceId"`;

export function createAuditStore(session: Session): AuditStore {
  return {
    append: (record) =>
      session.write((sql) => {
        sql.run(APPEND, {
          created_at: record.createdAt,
          id: record.id,
          principal_id: record.principalId,
          org: record.org,
          role: record.role,
          method: record.method,
          resource_kind: record.resourceKind,
          resource_id: record.resourceId,
          code: record.code,
          client_address: record.clientAddress,
          trace_id: record.traceId,
        });
      }),
    list: ({ org, principalId, resourceKind, resourceId, since, until }, { limit, after }) =>
      session.read((sql) => {
        const conditions: Condition[] = [
          org !== undefined && ["org = :org", { org }],
          principalId !== undefined && ["principal_id = :principal_id", { principal_id: principalId }],
          resourceKind !== undefined && ["resource_kind = :resource_kind", { resource_kind: resourceKind }],
          // An empty one is asked for by nobody; the index has none of them.
          resourceId !== undefined && ["resource_id = :resource_id AND resource_id <> ''", { resource_id: resourceId }],
          since !== undefined && ["created_at >= :since", { since }],
          until !== undefined && ["created_at < :until", { until }],
        ];
        const parts = inParts("audit_entries", { conditions }).map((listing) => {
          const { text, parameters } = clauses(listing, after);
          return sql.all<AuditRecord>(`SELECT ${COLUMNS} ${text} ${PAGE}`, { ...parameters, limit });
        });
        return inOrder(parts, limit);
      }),
  };
}
