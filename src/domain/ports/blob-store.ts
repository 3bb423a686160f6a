import type { Readable } from "node:stream";
import type { Digest } from "../digest.ts";

/** Part of a blob, in bytes: from `start` up to, not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Room in the store's disk, in bytes; absent for an object store. */
export interface Space {
  readonly capacityBytes?: number;
  readonly freeBytes?: number;
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
  /** Makes the local file `path`, whose bytes are synced and hash to `digest`, a blob, and takes the file away. Harmless if the blob exists. */
  commit(digest: Digest, path: string): Promise<void>;
  /** Reads a blob or a range of it; BLOB_NOT_FOUND. */
  read(digest: Digest, range?: ByteRange): Promise<Readable>;
  /** Takes a blob away; harmless if there is none. */
  remove(digest: Digest): Promise<void>;
  space(): Promise<Space>;
  /** Resolves if the store can be reached; a full disk is no reason to fail. */
  check(): Promise<void>;
}
