/** Decides whether a guest may reach a host name or an address. Pure: no sockets, no resolver. */
import { BlockList, isIP } from "node:net";
import { EngineError, type NetworkPolicy } from "./engine.ts";

export interface EgressRules {
  /** whether anything outside can be reached at all */
  anyEgress: boolean;
  /** by name alone; an address is a name that only the CIDR rules may allow */
  allowsHost(host: string): boolean;
  /** the last word, on the address that will be dialled */
  allowsAddress(host: string, address: string): boolean;
}

/**
 * What is not the public internet (IANA special-purpose registries): loopback, private, link-local, shared, multicast,
 * reserved. The documentation ranges are left out: they lead nowhere, or to a gateway that somebody gave such an address.
 */
const NOT_PUBLIC_V4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
];
/** NAT64, 6to4 and Teredo carry an IPv4 address that these rules would not see. */
const NOT_PUBLIC_V6 = [
  "::/8",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2002::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

interface AddressSet {
  has(address: string): boolean;
}

/** One list per family: in a shared one `::/8` would hold every IPv4 address, as mapped ones. */
function addressSet(cidrs: string[]): AddressSet {
  const lists = { 4: new BlockList(), 6: new BlockList() };
  for (const cidr of cidrs) {
    const [address = "", prefix] = cidr.split("/");
    const family = isIP(address);
    const longest = family === 6 ? 128 : 32;
    const bits = prefix === undefined ? longest : Number(prefix);
    if ((family !== 4 && family !== 6) || !Number.isInteger(bits) || bits < 0 || bits > longest) {
      throw new EngineError("invalid", `${cidr} is not a CIDR block.`);
    }
    lists[family].addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
  }
  return { has: (address) => (isIP(address) === 6 ? lists[6].check(address, "ipv6") : lists[4].check(address, "ipv4")) };
}

/** `::ffff:10.0.0.1` reaches 10.0.0.1 and is judged as that. */
function plainAddress(address: string): string {
  const mapped = /^::ffff:(.+)$/i.exec(address)?.[1];
  if (mapped === undefined) return address;
  if (isIP(mapped) === 4) return mapped;
  const [high = "0", low = "0"] = mapped.split(":");
  const value = Number.parseInt(high, 16) * 65536 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

function domainMatcher(pattern: string): (host: string) => boolean {
  const wanted = pattern.toLowerCase().replace(/\.$/, "");
  if (wanted === "*") return () => true;
  if (wanted.startsWith("*.")) return (host) => host.endsWith(wanted.slice(1)) && host.length > wanted.length - 1;
  return (host) => host === wanted;
}

/**
 * A name on the domain list may resolve to any public address; an address on the CIDR list may be reached under any name.
 * With one list given and the other null, only the given one counts. Addresses that are not public stay out of reach
 * unless the operator of the engine named them in `privateCidrs`, and so do the host's own, public or not.
 */
export function egressRules(policy: NetworkPolicy, privateCidrs: string[] = [], hostAddresses: string[] = []): EgressRules {
  const domains = policy.outboundDomainAllowlist;
  const cidrs = policy.outboundCidrAllowlist;
  const matchers = domains?.map(domainMatcher) ?? [];
  const allowedCidrs = addressSet(cidrs ?? []);
  const notPublic = addressSet([
    ...NOT_PUBLIC_V4,
    ...NOT_PUBLIC_V6,
    ...hostAddresses.map((address) => address.replace(/%.*$/, "")),
  ]);
  const reachablePrivate = addressSet(privateCidrs);
  const anyEgress =
    !policy.blockNetwork &&
    !(domains?.length === 0 && (cidrs === null || cidrs.length === 0)) &&
    !(cidrs?.length === 0 && domains === null);
  const normal = (host: string) => host.toLowerCase().replace(/\.$/, "");
  const nameAllowed = (host: string) =>
    domains === null ? cidrs === null : isIP(host) === 0 && matchers.some((matches) => matches(host));
  return {
    anyEgress,
    allowsHost: (host) => anyEgress && (cidrs !== null || nameAllowed(normal(host))),
    allowsAddress(host, rawAddress) {
      const address = plainAddress(rawAddress);
      if (!anyEgress || isIP(address) === 0) return false;
      if (notPublic.has(address) && !reachablePrivate.has(address)) return false;
      return nameAllowed(normal(host)) || (cidrs !== null && allowedCidrs.has(address));
    },
  };
}
