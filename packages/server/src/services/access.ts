import { Code, ConnectError } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { Principal } from "../interceptors/principal.ts";

export interface Owner {
  readonly org: string;
  readonly ownerScope: number;
}

/** Who may see and change what. In local mode the one user owns everything. */
export interface Access {
  canRead(principal: Principal, owner: Owner): boolean;
  /** Throws PERMISSION_DENIED. */
  requireWrite(principal: Principal, owner: Owner): void;
  /** The organisation that lists are limited to; undefined for all. Throws PERMISSION_DENIED when another is asked for. */
  listedOrg(principal: Principal, requested: string): string | undefined;
}

export function createAccess(mode: "local" | "cloud"): Access {
  if (mode === "local") {
    return {
      canRead: () => true,
      requireWrite: () => {},
      listedOrg: (_principal, requested) => requested || undefined,
    };
  }
  const requireOrg = (principal: Principal, org: string): void => {
    if (org === principal.org) return;
    throw new ConnectError(`organization ${org}: this key belongs to ${principal.org}`, Code.PermissionDenied);
  };
  return {
    canRead: (principal, { org, ownerScope }) => org === principal.org || ownerScope === ApiResourceOwnerScope.platform,
    requireWrite: (principal, { org, ownerScope }) => {
      if (ownerScope === ApiResourceOwnerScope.platform) {
        throw new ConnectError("the platform's resources can't be changed with this key", Code.PermissionDenied);
      }
      requireOrg(principal, org);
    },
    listedOrg: (principal, requested) => {
      if (requested !== "") requireOrg(principal, requested);
      return principal.org;
    },
  };
}
