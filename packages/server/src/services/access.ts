import { Code, ConnectError } from "@connectrpc/connect";
import { ApiResourceOwnerScope } from "@stigmer/protos/apiresource";
import type { Principal } from "../interceptors/principal.ts";

export interface Owner {
  readonly org: string;
  readonly ownerScope: number;
  readonly slug?: string;
}

/**
 * Who may see and change what. In local mode the one user owns everything, and any name is an organisation: there it
 * only groups, and manifests name organisations that nobody made. In cloud mode a caller has one organisation, and can name
 * no other, so that none has to be looked up either.
 */
export interface Access {
  canRead(principal: Principal, owner: Owner): boolean;
  /** Throws PERMISSION_DENIED. */
  requireWrite(principal: Principal, owner: Owner): void;
  /** The organisation that lists are limited to; undefined for all. Throws PERMISSION_DENIED when another is asked for. */
  listedOrg(principal: Principal, requested: string): string | undefined;
}

const everything: Access = {
  canRead: () => true,
  requireWrite: () => {},
  listedOrg: (_principal, requested) => requested || undefined,
};

export function createAccess(mode: "local" | "cloud"): Access {
  if (mode === "local") return everything;
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

/**
 * The same for organisations themselves: in cloud mode a caller has its own, and no other. Whose name it is was decided when the
 * first key was made for it, or by who signs tokens; so nobody can take the name of another one by being first.
 */
export function createOrganizationAccess(mode: "local" | "cloud"): Access {
  if (mode === "local") return everything;
  const isOwn = (principal: Principal, { slug }: Owner): boolean => slug === principal.org;
  return {
    canRead: isOwn,
    requireWrite: (principal, owner) => {
      if (isOwn(principal, owner)) return;
      const text = `organization ${owner.slug}: this key belongs to ${principal.org}; another organization begins with its first key: stigmer server create-key --org ${owner.slug}`;
      throw new ConnectError(text, Code.PermissionDenied);
    },
    // They stand beside each other, not in one another.
    listedOrg: () => undefined,
  };
}
