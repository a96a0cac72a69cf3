import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { ContextValues } from "@connectrpc/connect";
import { isId, type KindName, kinds } from "@stigmer/protos";
import { activeTrace, readTraceparent } from "@stigmer/telemetry";
import { clientAddressOf } from "../http/client-address.ts";
import { permissionOf } from "../interceptors/permissions.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { AuditRecord } from "../store/audit-store.ts";

/** What is known of a call before it is read. */
export interface CallHead {
  readonly service: DescService;
  readonly method: DescMethod;
  readonly header: Headers;
  readonly values: ContextValues;
}

/** What an entry tells but which resource, and how it ended. */
export type CallDescription = Omit<AuditRecord, "id" | "resourceId" | "code">;

/** Whether a method lets people and programs of an organisation change something. What runners report is in the ledger and in statuses. */
export function isChange(service: DescService, method: DescMethod): boolean {
  return service.name.endsWith("CommandController") && permissionOf(service, method).least !== undefined;
}

/** The kind that a service is about, as `Agent`. */
function kindOf({ name }: DescService): string {
  return name.replace(/(?:Command|Query)?Controller$/, "");
}

/** Tokens of others may name their subject at any length, and an index holds no more of it than this is sure to need. */
const MAX_PRINCIPAL_LENGTH = 512;

export function describeCall(
  { service, method, header, values }: CallHead,
  caller: Principal,
  now: number,
): CallDescription {
  const [, traceOfCaller = ""] = readTraceparent(header.get("traceparent")).split("-");
  return {
    createdAt: now,
    principalId: caller.id.slice(0, MAX_PRINCIPAL_LENGTH),
    org: caller.org,
    role: caller.role,
    method: `${service.typeName}/${method.name}`,
    resourceKind: kindOf(service),
    clientAddress: clientAddressOf(values),
    traceId: activeTrace()?.traceId ?? traceOfCaller,
  };
}

/**
 * The id of the resource of a kind that a request or an answer is about; "" when it has none. Nothing but an id of that kind is
 * taken: whatever else a caller writes there is not for a log.
 */
export function idIn(message: object, kind: string): string {
  if (!isKind(kind)) return "";
  const { metadata, value, resourceId, executionId } = message as Readonly<Record<string, unknown>>;
  const found = [(metadata as { id?: unknown } | undefined)?.id, value, resourceId, executionId].find(
    (id) => typeof id === "string" && isId(id, kind),
  );
  return typeof found === "string" ? found : "";
}

function isKind(kind: string): kind is KindName {
  return Object.hasOwn(kinds, kind);
}
