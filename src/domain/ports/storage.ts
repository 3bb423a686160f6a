import type { Digest } from "../digest.ts";

/** How the bytes of the store are used; see the contract's `Storage`. */
export interface StorageUsage {
  readonly capacityBytes?: number;
  readonly freeBytes?: number;
  readonly blobBytes: number;
  readonly blobCount: number;
  readonly partBytes: number;
  readonly reclaimableBytes: number;
  readonly pinnedBytes: number;
  readonly reservedBytes: number;
}

/** A blob and its size in bytes. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** What a collection took, or would take. */
export interface Collection {
  /** At most 1000 of them. */
  readonly blobs: readonly StoredBlob[];
  readonly blobCount: number;
  readonly freedBytes: number;
}

/** The store as operators see it. */
export interface Storage {
  usage(): Promise<StorageUsage>;
  /** Takes away blobs that no version and no live download has used for `graceMs`; a dry run only tells which. */
  collect(options: { graceMs: number; dryRun: boolean; signal: AbortSignal }): Promise<Collection>;
}

/** What the registry knows of blobs. */
export interface BlobRecords {
  usage(): Promise<Pick<StorageUsage, "blobBytes" | "blobCount" | "reclaimableBytes" | "pinnedBytes">>;
  /** Blobs that nothing has used for `graceMs`, by digest, after `after`. */
  unused(graceMs: number, limit: number, after?: Digest): Promise<readonly StoredBlob[]>;
  /**
   * Forgets a blob unless it was used within `graceMs`: runs `take` under the lock of its row, so that nobody can begin to
   * count on it meanwhile. Answers whether it went; a blob that somebody else holds stays.
   */
  forget(digest: Digest, graceMs: number, take: () => Promise<void>): Promise<boolean>;
}
