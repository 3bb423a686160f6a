import { join } from "node:path";
import { type Digest, hexOfDigest } from "../domain/digest.ts";

/** Where things lie below the store's folder. */
export interface DiskLayout {
  /** `blobs/sha256`: one folder for each first two hex digits. */
  readonly blobs: string;
  /** `parts`: files that are not verified yet. */
  readonly parts: string;
  /** `quarantine`: what was found under a blob's name and is not it. */
  readonly quarantine: string;
  /** The folder that holds a blob. */
  folderOf(digest: Digest): string;
  /** The file that is a blob. */
  fileOf(digest: Digest): string;
}

/** The layout of the store in `directory`. */
export function diskLayout(directory: string): DiskLayout {
  const blobs = join(directory, "blobs", "sha256");
  const folderOf = (digest: Digest) => join(blobs, hexOfDigest(digest).slice(0, 2));
  return {
    blobs,
    parts: join(directory, "parts"),
    quarantine: join(directory, "quarantine"),
    folderOf,
    fileOf: (digest) => join(folderOf(digest), hexOfDigest(digest)),
  };
}
