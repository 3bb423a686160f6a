/** A request as the SDK builds it; its path is encoded, its query is not. */
export interface HandledRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** The address of a request, encoded as signatures want it. */
export function urlOfRequest({ protocol, hostname, port, path, query = {} }: HandledRequest): URL {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map((one) => `${encode(name)}=${encode(one ?? "")}`),
  );
  const host = port === undefined ? hostname : `${hostname}:${port}`;
  return new URL(`${protocol}//${host}${path}${pairs.length > 0 ? `?${pairs.join("&")}` : ""}`);
}

/** Percent-encoding that leaves nothing but what RFC 3986 calls unreserved. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
