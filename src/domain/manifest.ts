import { createHash } from "node:crypto";
import { type Digest, digestOfHex } from "./digest.ts";
import type { VersionFile } from "./model.ts";

/** Files in the order of their manifest: by the UTF-16 code units of the path, the same on every machine. */
export function sortFiles(files: readonly VersionFile[]): VersionFile[] {
  return [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** The digest of a version's canonical manifest: JSON without spaces, keys sorted, files sorted by path. */
export function manifestDigest(files: readonly VersionFile[]): Digest {
  const canonical = sortFiles(files).map(({ digest, path, size }) => ({ digest, path, size }));
  return digestOfHex(
    createHash("sha256")
      .update(JSON.stringify({ files: canonical }))
      .digest("hex"),
  );
}
