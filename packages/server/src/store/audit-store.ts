import type { PagePosition, PageQuery } from "./resource-store.ts";

/** What is kept of one call: who asked for what, and how it ended. Nothing of what the call said. */
export interface AuditRecord extends PagePosition {
  /** When the call came, in milliseconds since 1970. */
  readonly createdAt: number;
  readonly principalId: string;
  /** Empty for runners, which are of no organisation. */
  readonly org: string;
  readonly role: string;
  /** `<service>/<method>`, the service with its package. */
  readonly method: string;
  readonly resourceKind: string;
  /** "" when the call named none, or was refused before it was read. */
  readonly resourceId: string;
  /** The name of a gRPC code. */
  readonly code: string;
  /** "" when it is not known. */
  readonly clientAddress: string;
  /** "" when the call was part of no trace. */
  readonly traceId: string;
}

/** What is not said does not narrow the list. */
export interface AuditFilter {
  readonly org?: string | undefined;
  readonly principalId?: string | undefined;
  readonly resourceKind?: string | undefined;
  readonly resourceId?: string | undefined;
  /** At this time or later, in milliseconds since 1970. */
  readonly since?: number | undefined;
  /** Before this time. */
  readonly until?: number | undefined;
}

/** Entries are added, and in their time forgotten by `RetentionStore`; nothing changes one. */
export interface AuditStore {
  append(record: AuditRecord): Promise<void>;
  /** Newest first. */
  list(filter: AuditFilter, page: PageQuery): Promise<AuditRecord[]>;
}
