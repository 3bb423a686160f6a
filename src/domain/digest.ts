import { invalidField } from "./errors.ts";

/** The name of verified bytes: `sha256:` and 64 lower-case hex digits. */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Reads a digest that a request carries in `field`; FIELD_INVALID if it is none. */
export function parseDigest(field: string, text: string): Digest {
  if (!DIGEST.test(text)) throw invalidField(field, "must be 'sha256:' followed by 64 lower-case hex digits");
  return text as Digest;
}

/** The digest of a SHA-256 given as 64 hex digits of either case. */
export function digestOfHex(hex: string): Digest {
  return `sha256:${hex.toLowerCase()}`;
}

/** The 64 hex digits of a digest. */
export function hexOfDigest(digest: Digest): string {
  return digest.slice("sha256:".length);
}
