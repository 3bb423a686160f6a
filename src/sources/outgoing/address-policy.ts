import ipaddr, { type IPv4, type IPv6 } from "ipaddr.js";
import { DomainError } from "../../domain/errors.ts";

/** Which addresses sources may be reached at. */
export interface AddressPolicy {
  /** Whether a connection to this IP address, in any spelling that a socket takes, is allowed. */
  permits(address: string): boolean;
}

/** Carries an IPv4 address in its last four bytes, so that networks without IPv4 reach all of the internet (RFC 6052). */
const NAT64 = ipaddr.IPv6.parseCIDR("64:ff9b::/96");
/** All that was ever given out as globally routable unicast. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/**
 * Allows public unicast addresses, and those in `networks` (CIDR).
 *
 * Private, shared (CGNAT), loopback, link-local (where clouds keep their metadata), unspecified, multicast, documentation
 * and all reserved addresses are refused, also inside an IPv4-mapped or a NAT64 address; so are the tunnels 6to4 and
 * Teredo, which carry an IPv4 address out of sight.
 *
 * @throws Error if a network cannot be read.
 */
export function createAddressPolicy(networks: readonly string[]): AddressPolicy {
  const allowed = networks.map((network) => ipaddr.parseCIDR(network));
  return {
    permits(address) {
      if (!ipaddr.isValid(address)) return false;
      const spellings = spellingsOf(ipaddr.parse(address));
      const isAllowed = spellings.some((spelling) =>
        allowed.some(([network, bits]) => spelling.kind() === network.kind() && spelling.match(network, bits)),
      );
      return isAllowed || isPublic(spellings.at(-1));
    },
  };
}

/** What a refused connection is told to the caller, with what the operator can do. */
export function addressNotAllowed(host: string, subject?: string): DomainError {
  const asked = subject === undefined ? "" : `, asked for ${subject},`;
  return new DomainError(
    "ADDRESS_NOT_ALLOWED",
    `'${host}'${asked} is not at a public address; the operator can allow its network with MODEL_MANAGER_ALLOW_NETWORKS`,
    { metadata: { host } },
  );
}

/** An address as it is written and, last, the IPv4 address that it carries, if it does. */
function spellingsOf(address: IPv4 | IPv6): (IPv4 | IPv6)[] {
  if (!(address instanceof ipaddr.IPv6)) return [address];
  if (address.isIPv4MappedAddress()) return [address, address.toIPv4Address()];
  if (address.match(NAT64)) return [address, ipaddr.fromByteArray(address.toByteArray().slice(12))];
  return [address];
}

function isPublic(address: IPv4 | IPv6 | undefined): boolean {
  if (address?.range() !== "unicast") return false;
  return !(address instanceof ipaddr.IPv6) || address.match(GLOBAL_UNICAST);
}
