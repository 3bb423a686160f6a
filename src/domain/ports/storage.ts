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
  readonly quotaBytes?: number;
  readonly damagedBytes: number;
  readonly damagedCount: number;
  readonly quarantineBytes: number;
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
  /** Of what was put aside as damaged. */
  readonly quarantineBytes: number;
}

/** A blob that is not what its digest says; see the contract's `DamagedBlob`. */
export interface DamagedBlob extends StoredBlob {
  readonly missing: boolean;
  /** Some of the versions that name it. */
  readonly modelRefs: readonly string[];
}

/** How far a check of the store is; see the contract's `VerifyStorageResponse`. */
export interface VerifyProgress {
  readonly checkedBlobs: number;
  readonly totalBlobs: number;
  readonly checkedBytes: number;
  readonly totalBytes: number;
  /** Found since the last one was told. */
  readonly damaged: readonly DamagedBlob[];
}

/** The store as operators see it. */
export interface Storage {
  usage(): Promise<StorageUsage>;
  /** Takes away blobs that no version and no live download has used for `graceMs`; a dry run only tells which. */
  collect(options: { graceMs: number; dryRun: boolean; signal: AbortSignal }): Promise<Collection>;
  /**
   * Reads blobs again, all or some, and settles what is damaged: it is put aside, marked and repaired. Tells at once how far
   * it is, then at most 4 times a second; the last time it is complete. STORE_UNAVAILABLE if the store cannot be read.
   */
  verify(options: { digests?: readonly Digest[]; signal: AbortSignal }): AsyncIterable<VerifyProgress>;
}

/** What the registry knows of blobs. */
export interface BlobRecords {
  usage(): Promise<
    Pick<StorageUsage, "blobBytes" | "blobCount" | "reclaimableBytes" | "pinnedBytes" | "damagedBytes" | "damagedCount">
  >;
  /** Blobs that nothing has used for `graceMs`, by digest, after `after`. */
  unused(graceMs: number, limit: number, after?: Digest): Promise<readonly StoredBlob[]>;
  /**
   * Forgets a blob unless it was used within `graceMs`: runs `take` under the lock of its row, so that nobody can begin to
   * count on it meanwhile. Answers whether it went; a blob that somebody else holds stays.
   */
  forget(digest: Digest, graceMs: number, take: () => Promise<void>): Promise<boolean>;
}
