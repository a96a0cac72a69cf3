import { randomUUID } from "node:crypto";
import type { Principal } from "./interceptors/principal.ts";
import type { AuditRecord } from "./store/audit-store.ts";

/** Whoever has the database: no organisation's. */
export const ADMINISTRATOR: Principal = { id: "administrator", org: "", role: "owner" };

/** The audit log's entry of what was done in the database itself, by no call. */
export function administratorsEntry(
  done: Pick<AuditRecord, "org" | "method" | "resourceKind" | "resourceId">,
): AuditRecord {
  return {
    ...done,
    id: randomUUID(),
    createdAt: Date.now(),
    principalId: ADMINISTRATOR.id,
    role: "administrator",
    code: "OK",
    clientAddress: "",
    traceId: "",
  };
}
