import { DomainError } from "../../domain/errors.ts";
import type { Proof } from "./authorization.ts";
import { parseSourceUrl } from "./url.ts";

/** One address on the way to what is asked for. */
export interface Hop {
  readonly url: URL;
  /** For this origin alone. */
  readonly token?: Proof;
  /** What is asked for, as messages name it. */
  readonly subject: string;
  /** The addresses before this one. */
  readonly seen: readonly string[];
}

const MAX_REDIRECTS = 10;

/**
 * Where a redirect leads. The token is left behind when the origin changes; ADDRESS_NOT_ALLOWED for an address that is not
 * followed, SOURCE_UNAVAILABLE without hope for redirects that lead nowhere.
 */
export function nextHop({ url, token, subject, seen }: Hop, location: string): Hop {
  const next = redirectTarget(location, url, subject);
  const passed = [...seen, url.href];
  if (passed.includes(next.href)) throw lostRedirect(subject, "redirects in a loop");
  if (passed.length > MAX_REDIRECTS) throw lostRedirect(subject, `redirects more than ${MAX_REDIRECTS} times`);
  return { url: next, token: next.origin === url.origin ? token : undefined, subject, seen: passed };
}

function redirectTarget(location: string, from: URL, subject: string): URL {
  if (!URL.canParse(location, from.href)) throw lostRedirect(subject, "redirects to what is no address");
  const target = new URL(location, from);
  if (from.protocol === "https:" && target.protocol === "http:") {
    throw new DomainError("ADDRESS_NOT_ALLOWED", `${subject} redirects from https to http, which is not followed`);
  }
  try {
    return parseSourceUrl("location", target.href);
  } catch (cause) {
    throw new DomainError("ADDRESS_NOT_ALLOWED", `${subject} redirects to an address that is not followed`, { cause });
  }
}

/** Not a SourceUnavailable: asked again, the source would do the same. */
function lostRedirect(subject: string, what: string): DomainError {
  return new DomainError("SOURCE_UNAVAILABLE", `${subject} ${what}`);
}
