import { z } from "zod";
import { DomainError } from "../../domain/errors.ts";
import type { Proof } from "../outgoing/authorization.ts";
import { statusFailure } from "../outgoing/failures.ts";
import { discard, type HttpClient } from "../outgoing/http-client.ts";
import { parseSourceUrl } from "../outgoing/url.ts";
import type { Challenge } from "./challenge.ts";
import { readJson } from "./read-body.ts";
import { misunderstood, type OciReference } from "./reference.ts";

/** What a registry is shown. */
export interface RegistryCredential {
  readonly token: string;
  /** See `NamedCredential.hosts`. */
  readonly hosts?: readonly string[];
}

/** A token that a registry's token service gave out. */
export interface IssuedToken {
  readonly token: string;
  /** How long it lasts, in milliseconds; a minute where the service does not say. */
  readonly lifetimeMs: number;
}

const VISIBLE = z.string().regex(/^[\x21-\x7e]{1,65536}$/);
const ANSWER = z.object({
  token: VISIBLE.optional(),
  access_token: VISIBLE.optional(),
  expires_in: z.number().positive().optional(),
});
const DEFAULT_LIFETIME_S = 60;
const MAX_ANSWER_BYTES = 1 << 20;

/**
 * A credential as a user and a password: a token of the form `user:password` is these, any other is the password of a user
 * whose name does not matter.
 */
export function userOf({ token }: RegistryCredential): Proof {
  const colon = token.indexOf(":");
  if (colon < 0) return { user: "token", password: token };
  return { user: token.slice(0, colon), password: token.slice(colon + 1) };
}

/** Whether a credential may go to the host of a registry's token service: the registry itself, or one that the operator lists. */
export function mayGoTo(credential: RegistryCredential, realm: URL, { host }: Pick<OciReference, "host">): boolean {
  if (realm.host === host) return true;
  return (credential.hosts ?? []).some((allowed) => allowed === realm.host || allowed === realm.hostname);
}

/** The address of a registry's token service; ADDRESS_NOT_ALLOWED for one that is not asked. */
export function realmOf(reference: OciReference, realm: string): URL {
  const subject = `the registry ${reference.host}`;
  let url: URL;
  try {
    url = parseSourceUrl("realm", realm);
  } catch (cause) {
    throw new DomainError("ADDRESS_NOT_ALLOWED", `${subject} names a token service at what is no address`, { cause });
  }
  if (reference.origin.startsWith("https:") && url.protocol === "http:") {
    throw new DomainError("ADDRESS_NOT_ALLOWED", `${subject} names a token service without https, which is not asked`);
  }
  return url;
}

/** Asks a token service for the right to pull; SOURCE_FORBIDDEN, with the hint, if it refuses. */
export async function askForToken(
  client: HttpClient,
  reference: OciReference,
  { realm, service, scope }: Challenge & { readonly realm: string },
  { proof, hint, signal }: { readonly proof?: Proof; readonly hint: string; readonly signal: AbortSignal },
): Promise<IssuedToken> {
  const url = realmOf(reference, realm);
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", scope ?? `repository:${reference.repository}:pull`);
  const subject = `the token service of the registry ${reference.host}`;
  const answer = await client.send({ url, token: proof, subject, signal });
  if (answer.status !== 200) {
    discard(answer.body);
    if (answer.status !== 401 && answer.status !== 403) throw statusFailure(answer.status, answer.headers, subject);
    const what = proof === undefined ? "gives no token without credentials" : "does not accept the credentials given";
    const metadata = { http_status: String(answer.status) };
    throw new DomainError("SOURCE_FORBIDDEN", `${subject} ${what} (${answer.status})${hint}`, { metadata });
  }
  const result = ANSWER.safeParse(await readJson(answer, { most: MAX_ANSWER_BYTES, subject, signal }));
  const { token, access_token, expires_in = DEFAULT_LIFETIME_S } = result.data ?? {};
  const issued = token ?? access_token;
  // Not with the parser's own words, which may quote a token.
  if (issued === undefined) throw misunderstood(reference, "has a token service that answers without a token");
  return { token: issued, lifetimeMs: expires_in * 1000 };
}
