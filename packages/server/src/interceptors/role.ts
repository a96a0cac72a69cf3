import { Role } from "@stigmer/protos/iam/v1";

/** What a caller may do: all of an organisation, its work, only look; or the work of whichever run it holds. */
export type PrincipalRole = "owner" | "member" | "viewer" | "runner";

const ROLES: Readonly<Record<Role, PrincipalRole | undefined>> = {
  [Role.UNSPECIFIED]: undefined,
  [Role.OWNER]: "owner",
  [Role.MEMBER]: "member",
  [Role.VIEWER]: "viewer",
  [Role.RUNNER]: "runner",
};

/** What a key's role is called; undefined when none was said. A role of a newer server than this one may do the least. */
export function roleNameOf(role: Role): PrincipalRole | undefined {
  return role in ROLES ? ROLES[role] : "viewer";
}

/** How a role is stored. */
export function roleOf(name: PrincipalRole): Role {
  const [role = Role.UNSPECIFIED] = Object.entries(ROLES).flatMap(([role, known]) =>
    known === name ? [Number(role)] : [],
  );
  return role;
}
