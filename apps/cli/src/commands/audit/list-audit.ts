import { toJson } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, AuditEntrySchema } from "@stigmer/protos/audit/v1";
import type { CommandIo } from "../../command-io.ts";
import { oneLine } from "../../output/plain-text.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";

export interface ListAuditOptions {
  readonly actor?: string;
  readonly kind?: string;
  readonly resource?: string;
  readonly since?: Date;
  readonly limit: number;
  readonly output: "table" | "json";
}

export async function listAudit(
  { actor, kind, resource, since, limit, output }: ListAuditOptions,
  io: CommandIo,
): Promise<void> {
  await withClient(io, async ({ client }) => {
    const entries: AuditEntry[] = [];
    const filter = { principalId: actor, resourceKind: kind, resourceId: resource, since };
    for await (const entry of client.audit.list({ ...filter, pageSize: Math.min(limit, 1_000) })) {
      entries.push(entry);
      if (entries.length === limit) break;
    }
    if (output === "json") {
      writeLine(
        io.stdout,
        JSON.stringify(
          entries.map((entry) => toJson(AuditEntrySchema, entry)),
          null,
          2,
        ),
      );
      return;
    }
    if (entries.length === 0) {
      writeLine(io.stderr, "The audit log has no such entry.");
      return;
    }
    const header = ["TIME", "ACTOR", "ROLE", "METHOD", "RESOURCE", "OUTCOME", "FROM"];
    io.stdout.write(formatTable(header, entries.map(rowOf)));
    if (entries.length === limit)
      writeLine(io.stderr, `There may be more than ${limit}: --limit shows them, --since narrows the list.`);
  });
}

function rowOf({ at, principalId, role, method, resourceKind, resourceId, code, clientAddress }: AuditEntry): string[] {
  const time = at ? timestampDate(at).toISOString() : "";
  // Without its package: the service is told by its name.
  const short = method.slice(method.lastIndexOf(".") + 1);
  return [time, oneLine(principalId), role, short, resourceId || resourceKind, code, clientAddress];
}
