import { SandboxType } from "@stigmer/protos/session/v1";

/** A kind of sandbox as people write it. */
export type SandboxName = "filesystem" | "isolated" | "docker" | "daytona";

export function sandboxTypeOf(name: SandboxName): SandboxType {
  return SandboxType[name.toUpperCase() as Uppercase<SandboxName>];
}

/** Empty for a session that was made with none. */
export function showSandboxType(type: SandboxType | undefined): string {
  if (type === undefined || type === SandboxType.UNSPECIFIED) return "";
  return SandboxType[type]?.toLowerCase() ?? String(type);
}
