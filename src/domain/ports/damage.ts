import type { Digest } from "../digest.ts";
import type { DamagedBlob, StoredBlob } from "./storage.ts";

/** Some blobs of the store; without digests all of them. */
export interface BlobScope {
  readonly digests?: readonly Digest[];
}

/** A blob that is to be checked. */
export interface BlobToVerify extends StoredBlob {
  /** What it should be is known to be lost. */
  readonly damaged: boolean;
}

/** A version of which the store lost bytes, with what it takes to get them again. */
export interface DamagedVersion {
  readonly modelId: string;
  readonly version: number;
  readonly resolvedRevision: string;
  readonly damagedFiles: readonly string[];
  /** Those of its blobs that no live download brings back, for this version or another. */
  readonly lost: readonly Digest[];
  /** The name of the configured credential that it was downloaded with in place of its source's own; empty for none. */
  readonly credential: string;
}

/** What the registry knows of which bytes were checked when, and which were lost. Times are the database's clock. */
export interface DamageRecords {
  /** How much a check of these blobs has to look at. */
  count(scope: BlobScope): Promise<{ blobs: number; bytes: number }>;
  /** Blobs that should be in the store, damaged ones too, by digest after `after`. */
  list(scope: BlobScope, limit: number, after?: Digest): Promise<readonly BlobToVerify[]>;
  /** Blobs that were never checked, then those whose last check is oldest, but for those checked within `restMs`. */
  leastRecentlyVerified(restMs: number, limit: number): Promise<readonly StoredBlob[]>;
  /** Notes that a blob was just found intact. */
  verified(digest: Digest): Promise<void>;
  /**
   * Declares the bytes of a blob lost: runs `takeAway` under the lock of its row, and if that says that nothing is left, no
   * download counts on it any more and the versions that name it are marked. Answers whether it was declared lost; a blob
   * that was collected, placed anew or declared lost meanwhile is not.
   */
  declareLost(digest: Digest, takeAway: () => Promise<boolean>): Promise<boolean>;
  /** The versions that name a blob, as references; at most `limit`. */
  namedBy(digest: Digest, limit: number): Promise<DamagedBlob["modelRefs"]>;
  /** Versions with lost bytes that no live download brings back, and none of their own failed to within `restMs`. */
  unrepaired(restMs: number, limit: number): Promise<readonly DamagedVersion[]>;
  /** Takes, or keeps, the right to check the store in the background for `leaseMs`; one process has it at a time. */
  holdScrub(owner: string, leaseMs: number): Promise<boolean>;
}
