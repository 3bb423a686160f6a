import type { Digest } from "../digest.ts";
import type { Download, DownloadChanges, DownloadState, Progress } from "../download.ts";
import type { Failure } from "../failure.ts";
import type { Version, VersionFile, VersionMetadata } from "../model.ts";
import type { ListRequest, Page } from "../page.ts";
import type { Source } from "../source.ts";
import type { StartDownload } from "./downloads.ts";

/** The right to work on a download: valid while the row's epoch is this one. */
export interface Lease {
  readonly downloadId: string;
  readonly epoch: number;
}

/** A download that this process owns, with what it takes to run it. */
export interface ClaimedDownload {
  readonly lease: Lease;
  readonly download: Download;
  readonly source: Source;
  /** How often in a row it was parked before without more bytes being complete. */
  readonly parkings: number;
  /** Whether it was asked for with a token, which only the process that was asked has. */
  readonly withToken: boolean;
}

/** Which downloads a process can take. */
export interface Claimable {
  /** Parked ones only if they need no more room than this, in bytes; absent for none of them. */
  readonly roomBytes?: number;
  /** Not these, which the process runs already, even if their leases ran out. */
  readonly running?: readonly string[];
}

/** On what a download that is given back waits. */
export interface Parking {
  /** Room that must be there, in bytes; absent if room is not what it waits for. */
  readonly bytes?: number;
  /** For so long at least, in milliseconds. */
  readonly waitMs: number;
  /** See {@link ClaimedDownload.parkings}, this time included. */
  readonly parkings: number;
}

/** A version that is ready to be published: every blob that it names is in the store. */
export interface Publication {
  readonly resolvedRevision: string;
  readonly license: string;
  readonly metadata: VersionMetadata;
  readonly files: readonly VersionFile[];
  /** Final counters. */
  readonly progress: Progress;
}

/**
 * The durable side of downloads. Methods that take a lease check it in the same statement and raise LEASE_STALE if another
 * process took over, or if the download was cancelled or deleted. Times are the database's clock.
 */
export interface DownloadJobs {
  /** Inserts a QUEUED download, or finds the live one of the same identity. The token of a credential is not kept. */
  start(request: StartDownload): Promise<{ download: Download; created: boolean }>;
  get(downloadId: string): Promise<Download>;
  list(request: ListRequest): Promise<Page<Download>>;
  /** See `Downloads.update`; the owner hears of it when it renews its lease. */
  update(downloadId: string, changes: DownloadChanges): Promise<Download>;
  /** See `Downloads.pause`; the owner's lease is void from then on. */
  pause(downloadId: string): Promise<Download>;
  /** See `Downloads.resume`. */
  resume(downloadId: string): Promise<Download>;
  /** Cancels a live download: its owner's lease is void from then on. STATE_INVALID if it ended otherwise. */
  cancel(downloadId: string): Promise<Download>;

  /**
   * Takes over up to `limit` downloads that nobody owns (QUEUED, or live with an expired lease), highest priority first,
   * then oldest. Each claim raises the epoch, and `attempt` once more than the last; over the cap of attempts it is FAILED instead.
   */
  claim(owner: string, limit: number, leaseMs: number, among?: Claimable): Promise<ClaimedDownload[]>;
  /** Prolongs leases; answers those that are still held, each with the rate limit that its download has by now. */
  renew(leases: readonly Lease[], leaseMs: number): Promise<ReadonlyMap<string, { rateLimit?: number }>>;
  /** Moves a download to a live state. `resolvedRevision`, once known, stays with it. */
  advance(lease: Lease, state: DownloadState, facts?: { resolvedRevision?: string; attempt?: number }): Promise<void>;
  /** Gives a download back as QUEUED for whoever comes next: at once, or parked. */
  release(lease: Lease, progress: Progress, parking?: Parking): Promise<void>;
  /** Ends a download as FAILED; a model without a version becomes FAILED with it. */
  fail(lease: Lease, failure: Failure, progress: Progress): Promise<void>;
  /** Makes the version, or finds the one with the same manifest, and ends the download as SUCCEEDED, in one transaction. */
  publish(lease: Lease, publication: Publication): Promise<Version>;

  /** What the versions of a model have at these paths, each once. */
  filesAt(modelId: string, paths: readonly string[]): Promise<readonly VersionFile[]>;
  /** Of `digests`, those that the store has, each with a reference of this download so that no collector takes it. */
  reuse(lease: Lease, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>>;
  /**
   * The files of an archive that was unpacked before, if the store has them all, each with a reference of this download;
   * undefined if not.
   */
  reuseUnpacked(lease: Lease, archive: Digest): Promise<readonly VersionFile[] | undefined>;
  /** Remembers the files of an archive for as long as the store has them all. Harmless to repeat. */
  noteUnpacked(lease: Lease, archive: Digest, files: readonly VersionFile[]): Promise<void>;
  /**
   * Brings a verified blob into the store: commits its row as WRITING with a reference of this download, then under the
   * row's lock runs `place` and marks it READY. Harmless to repeat.
   */
  admit(lease: Lease, digest: Digest, size: number, place: () => Promise<void>): Promise<void>;

  /** Keeps progress for readers in other processes, all in one statement. Stale leases are passed over. */
  saveProgress(entries: readonly { lease: Lease; progress: Progress }[]): Promise<void>;
  /** The kept progress, with files where they are kept; for readers in other processes. */
  readProgress(downloadIds: readonly string[]): Promise<ReadonlyMap<string, Progress>>;
}
