import type { FileOrigin } from "../../domain/ports/sources.ts";
import type { HttpClient } from "./http-client.ts";
import { type HttpTarget, openRange } from "./open-range.ts";
import { routeFinder } from "./route.ts";

/** A file on a web server as a place to read from. */
export function httpOrigin(client: HttpClient, target: HttpTarget): FileOrigin {
  return {
    host: target.url.host,
    open: (request) => openRange(client, target, request),
    route: routeFinder(client, target),
  };
}
