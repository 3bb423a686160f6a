import type { Lease } from "./download-jobs.ts";

/** Keeps the bytes of blobs below a limit. */
export interface Quota {
  /**
   * Makes room for a planned download, whose contents are `contentBytes` in all, those that the store has included: versions
   * that nothing needs are evicted, least recently used first. QUOTA_EXCEEDED, with nothing evicted, if that cannot be enough.
   * What the source does not tell the size of counts once it is in the store.
   */
  claim(lease: Lease, contentBytes: number): Promise<void>;
  /** The same for blobs that come in without a download: `bytes` that the store does not have. Nothing is noted. */
  makeRoom(bytes: number): Promise<void>;
}

/** How bytes count against a quota when a download does not fit. */
export interface QuotaShortage {
  /** What the download will still bring in. */
  readonly neededBytes: number;
  /** All blobs. */
  readonly usedBytes: number;
  /** Of those, what no eviction frees: pinned, in use, or counted on by a download. */
  readonly keptBytes: number;
  /** Of those, what pinned versions name. */
  readonly pinnedBytes: number;
  /** What other live downloads will still bring in. */
  readonly reservedBytes: number;
}

/** A version that was evicted. */
export interface EvictedVersion {
  readonly modelId: string;
  readonly version: number;
  readonly lastUsedTime: Date;
}

/** The durable side of a quota. */
export interface QuotaRecords {
  /** Notes what a download will hold if that is within the quota, one download after the other; else answers what is short. */
  claim(lease: Lease, contentBytes: number, quotaBytes: number): Promise<QuotaShortage | undefined>;
  /** What is short for `bytes` more, which nobody has claimed; undefined if they are within the quota. */
  shortage(bytes: number, quotaBytes: number): Promise<QuotaShortage | undefined>;
  /**
   * Deletes, with its event, the least recently used of the versions that free something and that nothing needs: no pin, no
   * alias, no assignment, no live download of their model. Undefined if there is none.
   */
  evict(): Promise<EvictedVersion | undefined>;
}
