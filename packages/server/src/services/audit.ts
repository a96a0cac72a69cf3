import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import {
  type AuditEntry,
  AuditEntryListSchema,
  AuditEntrySchema,
  AuditQueryController,
  ListAuditEntriesRequestSchema,
} from "@stigmer/protos/audit/v1";
import type { AuditFilter, AuditRecord, AuditStore } from "../store/audit-store.ts";
import type { Access } from "./access.ts";
import type { CallOf } from "./call.ts";
import { readBoundPage } from "./page-tokens.ts";
import { readPage } from "./pages.ts";

export interface AuditServicesOptions {
  readonly entries: Pick<AuditStore, "list">;
  readonly access: Access;
  readonly callOf: CallOf;
}

const schema = ListAuditEntriesRequestSchema;

/** Entries are short: even a thousand of them fit into an answer. */
const NO_BODY = new Uint8Array();

/** The entries that `createAudit` makes, as the owners of an organisation may read them. */
export function registerAudit(router: ConnectRouter, { entries, access, callOf }: AuditServicesOptions): void {
  router.service(AuditQueryController, {
    list: async ({ org, since, until, principalId, resourceKind, resourceId, pageSize, pageToken }, context) => {
      const { principal } = await callOf(context);
      const filter: AuditFilter = {
        org: access.listedOrg(principal, org),
        principalId: principalId || undefined,
        resourceKind: resourceKind || undefined,
        resourceId: resourceId || undefined,
        since: since && timestampMs(since),
        until: until && timestampMs(until),
      };
      const { items, nextPageToken } = await readBoundPage(
        { list: "audit", filter, schema },
        { pageSize, pageToken },
        (request) =>
          readPage(request, async (page) => {
            const records = await entries.list(filter, page);
            return records.map((record) => ({ ...record, body: NO_BODY }));
          }),
      );
      return create(AuditEntryListSchema, { items: items.map(toEntry), nextPageToken });
    },
  });
}

function toEntry(record: AuditRecord): AuditEntry {
  const { createdAt, id, principalId, org, role, method, resourceKind, resourceId, code, clientAddress, traceId } =
    record;
  const at = timestampFromMs(createdAt);
  const rest = { principalId, org, role, method, resourceKind, resourceId, code, clientAddress, traceId };
  return create(AuditEntrySchema, { id, at, ...rest });
}
