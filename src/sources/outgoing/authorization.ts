/** What proves to an origin that it may be read: a bearer token, or a user with a password. */
export type Proof = string | { readonly user: string; readonly password: string };

/** The `authorization` header of a proof, or nothing without one; to be spread into other headers. */
export function authorizationHeader(proof: Proof | undefined): { readonly authorization?: string } {
  if (proof === undefined) return {};
  if (typeof proof === "string") return { authorization: `Bearer ${proof}` };
  return { authorization: `Basic ${Buffer.from(`${proof.user}:${proof.password}`).toString("base64")}` };
}
