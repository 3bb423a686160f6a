import ipaddr from "ipaddr.js";

/** Whether only this machine can reach what listens on `host`. Names other than `localhost` count as not. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === "localhost") return true;
  // Only the plain spellings: what `127.1` means is left to whoever opens the port.
  return ipaddr.IPv4.isValidFourPartDecimal(host) || ipaddr.IPv6.isValid(host)
    ? ipaddr.process(host).range() === "loopback"
    : false;
}
