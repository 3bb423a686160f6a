import type { Route } from "../../domain/ports/sources.ts";
import { authorizationHeader } from "./authorization.ts";
import { bareHost } from "./connector.ts";
import { faultOfCode, statusFailure } from "./failures.ts";
import { type Hop, nextHop } from "./hop.ts";
import type { HttpClient } from "./http-client.ts";
import { type HttpTarget, nameOf } from "./open-range.ts";

/** Finds the way to a file for connections that the client does not make itself; undefined behind a proxy. */
export function routeFinder(
  client: HttpClient,
  target: HttpTarget,
): ((signal: AbortSignal) => Promise<Route>) | undefined {
  return client.proxied ? undefined : (signal) => findRoute(client, target, signal);
}

/** The way to a file; not for a client behind a proxy. */
export function findRoute(client: HttpClient, target: HttpTarget, signal: AbortSignal): Promise<Route> {
  return routeOf(client, target, { url: target.url, token: target.token, subject: nameOf(target), seen: [] }, signal);
}

async function routeOf(client: HttpClient, target: HttpTarget, hop: Hop, signal: AbortSignal): Promise<Route> {
  const { url, token, subject } = hop;
  const addresses = await client.addressesOf(url, subject, signal);
  const tls = url.protocol === "https:";
  const headers = {
    host: url.host,
    "user-agent": client.userAgent,
    accept: "*/*",
    "accept-encoding": "identity",
    ...authorizationHeader(token),
    ...(target.etag !== undefined && { "if-match": target.etag }),
  };
  const port = Number(url.port) || (tls ? 443 : 80);
  return {
    redirected: hop.seen.length > 0,
    target: { host: bareHost(url.hostname), addresses, port, tls, path: url.pathname + url.search, headers },
    follow: (location, signal) => routeOf(client, target, nextHop(hop, location), signal),
    refusal: (status, headers) => target.refusal?.({ status, headers }) ?? statusFailure(status, headers, subject),
    fault: ({ code, message }) => faultOfCode(code, new Error(message), subject),
  };
}
