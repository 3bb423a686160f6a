/** The name of verified bytes: `sha256:` and 64 lower-case hex digits. */
export type Digest = `sha256:${string}`;

/** The digest of a SHA-256 given as 64 hex digits of either case. */
export function digestOfHex(hex: string): Digest {
  return `sha256:${hex.toLowerCase()}`;
}

/** The 64 hex digits of a digest. */
export function hexOfDigest(digest: Digest): string {
  return digest.slice("sha256:".length);
}
