// Refusing what a backend can't keep. The same words for every backend.
import { SandboxError } from "./errors.ts";
import type { CommonSandboxOptions, SandboxBackend, SandboxCapabilities } from "./sandbox.ts";

/** Throws `unsupported` for a policy or limit that is not declared, `invalid-argument` for one that makes no sense. */
export function assertSupported(
  options: Pick<CommonSandboxOptions, "network" | "limits">,
  capabilities: SandboxCapabilities,
  backend: SandboxBackend,
): void {
  const { network, limits = {} } = options;
  if (network !== undefined && !capabilities.network.includes(network.type)) {
    throw unsupported(backend, `the network policy "${network.type}"`, capabilities.network);
  }
  if (network?.type === "allow-list") for (const domain of network.domains) assertDomain(domain);
  for (const [name, value] of Object.entries(limits) as [keyof typeof limits, number | undefined][]) {
    if (value === undefined) continue;
    if (!capabilities.limits.includes(name)) throw unsupported(backend, `the limit ${name}`, capabilities.limits);
    if (!(Number.isSafeInteger(value) && value > 0)) {
      throw new SandboxError("invalid-argument", `Expected limits.${name} to be a whole number above 0, got ${value}.`);
    }
  }
}

function unsupported(backend: SandboxBackend, what: string, known: readonly string[]): SandboxError {
  const instead = known.length === 0 ? "It keeps none." : `It keeps: ${known.join(", ")}.`;
  return new SandboxError("unsupported", `The ${backend} backend can't keep ${what} here. ${instead}`);
}

function assertDomain(domain: string): void {
  if (/^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i.test(domain)) return;
  throw new SandboxError(
    "invalid-argument",
    `Expected a domain such as "example.com" or "*.example.com", got ${JSON.stringify(domain)}.`,
  );
}
