import type { Digest } from "../digest.ts";

/**
 * The durable side of blobs that come in without a download. Nothing refers to such a blob until a version names it: for a
 * day after it came in, or was renewed, every collector lets it be.
 */
export interface BlobAdmissions {
  /**
   * Brings a verified blob into the store: commits its row as WRITING, then under the row's lock runs `place` and marks it
   * READY, and versions that had lost it as whole. Harmless to repeat; so must `place` be, which can be run again.
   */
  admit(digest: Digest, size: number, place: () => Promise<void>): Promise<void>;
  /** The sizes of those of some blobs that are READY; their day begins anew. */
  renew(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>>;
}
