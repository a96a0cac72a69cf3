import { create } from "@bufbuild/protobuf";
import { ApiResourceAuditStatusSchema } from "@stigmer/protos/apiresource";
import type { ApiResourceAudit, ApiResourceAuditStatus } from "@stigmer/protos/apiresource";

/** The status of kinds that have nothing to report but who changed them when. */
export function auditStatus(audit: ApiResourceAudit): ApiResourceAuditStatus {
  return create(ApiResourceAuditStatusSchema, { audit });
}
