import { invalidField } from "../../domain/errors.ts";

/**
 * Reads an address that a source names in `field`; FIELD_INVALID unless it is http or https and free of a user and a
 * password, which would be seen wherever the address is.
 */
export function parseSourceUrl(field: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw invalidField(field, "must be an absolute http or https URL");
  }
  if (url.username !== "" || url.password !== "") {
    throw invalidField(field, "must not contain a user or password: use a credential");
  }
  url.hash = "";
  return url;
}

/** An address as messages and logs may show it: scheme, host and path, since a query may be a signature. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}
