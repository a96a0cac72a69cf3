// Which hosts a command may reach by way of the proxy.
import { lookup, type LookupAddress, type LookupOptions } from "node:dns";
import { BlockList, isIP } from "node:net";

export interface AllowList {
  allows(host: string): boolean;
  /** A `lookup` for a host that is allowed. A name does not lead to this machine itself, unless it is listed as it stands. */
  lookup(
    host: string,
    options: LookupOptions,
    tell: (error: Error | null, address: string | LookupAddress[], family?: number) => void,
  ): void;
}

/** Addresses that a name could be made to stand for, to reach what trusts this machine: itself, and cloud metadata. */
const own = new BlockList();
for (const [net, bits] of [
  ["127.0.0.0", 8],
  ["0.0.0.0", 8],
  ["169.254.0.0", 16],
] as const) {
  own.addSubnet(net, bits, "ipv4");
}
for (const [net, bits] of [
  ["::1", 128],
  ["::", 128],
  ["fe80::", 10],
] as const) {
  own.addSubnet(net, bits, "ipv6");
}

/** `example.com` allows that name alone, `*.example.com` every name below it. */
export function createAllowList(domains: readonly string[]): AllowList {
  const exact = new Set<string>();
  const below: string[] = [];
  for (const domain of domains.map((name) => name.toLowerCase())) {
    if (domain.startsWith("*.")) below.push(domain.slice(1));
    else exact.add(domain);
  }
  const normal = (host: string): string => host.toLowerCase().replace(/\.$/, "");
  return {
    allows(host) {
      const name = normal(host);
      return exact.has(name) || (isIP(name) === 0 && below.some((suffix) => name.endsWith(suffix)));
    },
    lookup(host, options, tell) {
      lookup(host, { ...options, all: true }, (error, addresses) => {
        if (error) {
          tell(error, []);
          return;
        }
        const meant = normal(host) === "localhost";
        const usable = addresses.filter(({ address, family }) => meant || !isOwn(address, family));
        const [first] = usable;
        if (first === undefined) tell(new Error(`${host} stands for an address of this machine itself.`), []);
        else if (options.all === true) tell(null, usable);
        else tell(null, first.address, first.family);
      });
    },
  };
}

/** BlockList knows an IPv4 address also when it is written as an IPv6 one. */
function isOwn(address: string, family: number): boolean {
  return own.check(address, family === 6 ? "ipv6" : "ipv4");
}
