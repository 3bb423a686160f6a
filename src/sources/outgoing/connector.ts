import { type LookupAddress, type LookupOptions, lookup as systemLookup } from "node:dns";
import { isIP } from "node:net";
import { buildConnector } from "undici";
import { type AddressPolicy, addressNotAllowed } from "./address-policy.ts";

/** Resolves a name to all of its addresses. */
export type Lookup = (hostname: string, options: LookupOptions) => Promise<LookupAddress[]>;

/** The machine's own way to resolve names: hosts file, DNS, whatever it is set up for. */
export const lookupBySystem: Lookup = (hostname, options) =>
  new Promise((resolve, reject) => {
    systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) reject(error);
      else resolve(addresses);
    });
  });

/** A host as sockets take it: without the brackets that URLs put around IPv6 addresses. */
export function bareHost(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

/**
 * Makes undici's connections. The addresses that a name resolves to are checked in the very lookup that the socket connects
 * by, so that a name cannot answer one address for the check and another for the connection.
 */
export function createConnector(
  policy: AddressPolicy,
  lookup: Lookup,
  connectTimeoutMs: number,
): buildConnector.connector {
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    // One connection carries one body: several bodies on one HTTP/2 connection would share its window.
    allowH2: false,
    lookup(hostname, options, callback) {
      lookup(hostname, options).then(
        (addresses) => {
          const permitted = addresses.filter(({ address }) => policy.permits(address));
          const [first] = permitted;
          if (first === undefined) callback(addressNotAllowed(hostname), "", 0);
          else if (options.all) callback(null, permitted);
          else callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, "", 0),
      );
    },
  });
  return (options, callback) => {
    const host = bareHost(options.hostname);
    // Sockets look up names only: a literal address has to be checked here.
    if (isIP(host) !== 0 && !policy.permits(host)) callback(addressNotAllowed(host), null);
    else connect(options, callback);
  };
}
