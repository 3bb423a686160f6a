import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";

/** Part of a blob, in bytes: from `start` up to, not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Room on a disk, in bytes; absent for an object store. */
export interface Space {
  readonly capacityBytes?: number;
  readonly freeBytes?: number;
}

/**
 * What a blob turned out to be when it was read again: `damaged` is other bytes, something that is no file, or what cannot
 * be read; `identity` tells it from whatever takes its place.
 */
export type BlobCheck =
  | { readonly found: "intact"; readonly size: number }
  | { readonly found: "missing" }
  | { readonly found: "damaged"; readonly identity: string };

/** How a blob is read again. */
export interface VerifyOptions {
  readonly signal: AbortSignal;
  /** Hears of each piece of some MiB; the next one is read when it is done. */
  onRead?(bytes: number): Promise<void> | void;
}

/**
 * Verified bytes by their digest. Whoever calls {@link BlobStore.commit} has hashed them; a blob appears whole or not at all.
 * Every method raises STORE_UNAVAILABLE if the store cannot be reached, DISK_FULL if it has no room.
 */
export interface BlobStore {
  /** A folder of this machine for parts, on the store's own file system where it has one. */
  readonly spoolDirectory: string;
  /** The size of a blob, or undefined if there is none. */
  stat(digest: Digest): Promise<{ size: number } | undefined>;
  /**
   * Makes the local file `path`, whose bytes are synced and hash to `digest`, a blob, and takes the file away. Replaces what
   * lies there and is not the blob. Harmless if the blob exists. A store that copies the bytes raises CONTENT_MISMATCH if they
   * are others by now.
   */
  commit(digest: Digest, path: string): Promise<void>;
  /** Reads a blob or a range of it; BLOB_NOT_FOUND. */
  read(digest: Digest, range?: ByteRange): Promise<Readable>;
  /** Takes a blob away; harmless if there is none. */
  remove(digest: Digest): Promise<void>;
  /** Reads a blob again, without holding up others, and checks its digest; the signal's reason. */
  verify(digest: Digest, options: VerifyOptions): Promise<BlobCheck>;
  /**
   * Puts aside, for the operator to see, what a check found damaged or missing, unless something else lies there by now.
   * Answers whether nothing lies there afterwards.
   */
  quarantine(digest: Digest, check: BlobCheck): Promise<boolean>;
  /** Takes away what was put aside at least `ageMs` ago and answers its bytes; a dry run only tells. */
  emptyQuarantine(ageMs: number, dryRun: boolean): Promise<number>;
  space(): Promise<Space>;
  /** The room for parts: that of the store where both have one disk. */
  spoolSpace(): Promise<Space>;
  /** Resolves if the store can be reached; a full disk is no reason to fail. */
  check(): Promise<void>;
}
