import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createClient as createConnectClient, type Transport } from "@connectrpc/connect";
import { type AuditEntry, AuditQueryController } from "@stigmer/protos/audit/v1";
import { call, type CallOptions } from "./call.ts";
import { listOf, type List, type PageInput } from "./pages.ts";
import type { Defaults } from "./resource-client.ts";

/** Each filter that is given narrows the list. */
export interface AuditListInput extends PageInput {
  /** Default: the client's. */
  readonly org?: string;
  /** Only what happened then or later. */
  readonly since?: Date;
  /** Only what happened before. */
  readonly until?: Date;
  /** Only what this caller did. */
  readonly principalId?: string;
  /** Only what was done to this kind, as `Agent`. */
  readonly resourceKind?: string;
  /** Only what was done to this resource. */
  readonly resourceId?: string;
}

/** Who did what. */
export interface AuditClient {
  /** Entries of the audit log, newest first. Throws `permission-denied` for callers that are no owners. */
  list(input?: AuditListInput, options?: CallOptions): List<AuditEntry>;
}

export function createAuditClient(transport: Transport, { ownOrg }: Defaults): AuditClient {
  const query = createConnectClient(AuditQueryController, transport);
  return {
    list: ({ pageToken, org = ownOrg, since, until, ...rest } = {}, options) => {
      const times = { since: since && timestampFromDate(since), until: until && timestampFromDate(until) };
      return listOf(pageToken, (pageToken) =>
        call("audit log", () => query.list({ ...rest, ...times, org, pageToken }, options)),
      );
    },
  };
}
