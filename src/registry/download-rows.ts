import { and, eq, getTableColumns, type InferSelectModel, sql } from "drizzle-orm";
import { validate as isUuid } from "uuid";
import { type Download, type FileProgress, isTerminal, type Progress } from "../domain/download.ts";
import { DomainError } from "../domain/errors.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import type { Executor, Transaction } from "./database.ts";
import type { ModelRow } from "./model-rows.ts";
import { type Counters, downloads, LIVE_STATES } from "./schema/downloads.ts";
import { models } from "./schema/models.ts";

/** A download's own row, without the progress that is kept beside it. */
export type DownloadRow = InferSelectModel<typeof downloads>;

/** The condition that a download has not ended. */
export const isLive = sql`${downloads.state} in ${LIVE_STATES}`;

/** All that a download is made of. */
export const downloadFields = {
  ...getTableColumns(downloads),
  kept: sql<Counters | null>`(select counters from download_progress where download_id = downloads.id)`,
};

/** The part of a progress that is kept as it was told. */
export function countersOf(progress: Progress): Counters {
  return {
    completedBytes: progress.completedBytes,
    totalBytes: progress.totalBytes,
    sourceBytes: progress.sourceBytes,
    peerBytes: progress.peerBytes,
    reusedBytes: progress.reusedBytes,
    completedFiles: progress.completedFiles,
    totalFiles: progress.totalFiles,
    bytesPerSecond: progress.bytesPerSecond,
    etaMs: progress.etaMs,
    waiting: progress.waiting,
    updateTime: progress.updateTime.toISOString(),
  };
}

/** What is so of a download that is held or has ended. */
export const AT_REST = { bytesPerSecond: 0, etaMs: undefined, waiting: undefined };

/** The progress of a download; `kept` counts while it is live, if there is any. */
export function toProgress(row: DownloadRow, kept?: Counters | null, files: readonly FileProgress[] = []): Progress {
  const { updateTime, ...counters } = (isTerminal(row.state) ? undefined : kept) ?? row.counters;
  const told = updateTime === undefined ? row.updateTime : new Date(updateTime);
  return {
    downloadId: row.id,
    state: row.state,
    ...counters,
    // What was told last, it was while somebody worked on it.
    ...(row.state === "PAUSED" || isTerminal(row.state) ? AT_REST : {}),
    attempt: row.attempt,
    resolvedRevision: row.resolvedRevision,
    updateTime: new Date(Math.max(told.getTime(), row.updateTime.getTime())),
    files,
    version: row.version ?? undefined,
    error: row.error ?? undefined,
  };
}

/** The download of a row. */
export function toDownload(row: DownloadRow, kept?: Counters | null): Download {
  return {
    id: row.id,
    modelId: row.modelId,
    state: row.state,
    revision: row.revision,
    resolvedRevision: row.resolvedRevision,
    allowPatterns: row.allowPatterns,
    ignorePatterns: row.ignorePatterns,
    priority: row.priority,
    rateLimit: row.rateLimit ?? undefined,
    progress: toProgress(row, kept),
    version: row.version ?? undefined,
    error: row.error ?? undefined,
    createTime: row.createTime,
    updateTime: row.updateTime,
    endTime: row.endTime ?? undefined,
  };
}

/** DOWNLOAD_NOT_FOUND. */
export function downloadNotFound(downloadId: string): DomainError {
  return new DomainError("DOWNLOAD_NOT_FOUND", `there is no download '${downloadId}'`, {
    metadata: { download_id: downloadId },
  });
}

/** LEASE_STALE. */
export function leaseStale(lease: Lease): DomainError {
  return new DomainError("LEASE_STALE", "this process no longer owns the download", {
    metadata: { download_id: lease.downloadId },
  });
}

/** A download as it is for the executor; DOWNLOAD_NOT_FOUND. */
export async function readDownload(executor: Executor, downloadId: string): Promise<Download> {
  if (!isUuid(downloadId)) throw downloadNotFound(downloadId);
  const [row] = await executor.select(downloadFields).from(downloads).where(eq(downloads.id, downloadId));
  if (row === undefined) throw downloadNotFound(downloadId);
  return toDownload(row, row.kept);
}

/** Locks a download's model and then the download itself for the rest of the transaction; undefined if it is gone. */
export async function lockDownload(
  tx: Transaction,
  downloadId: string,
): Promise<{ model: ModelRow; download: DownloadRow } | undefined> {
  if (!isUuid(downloadId)) return undefined;
  const [owner] = await tx
    .select({ model: models })
    .from(models)
    .innerJoin(downloads, eq(downloads.modelId, models.id))
    .where(eq(downloads.id, downloadId))
    .for("update", { of: models });
  const [download] = await tx.select().from(downloads).where(eq(downloads.id, downloadId)).for("update");
  return owner === undefined || download === undefined ? undefined : { model: owner.model, download };
}

/** The condition that a lease is the download's newest and the download is live. */
export function isHeld(lease: Lease) {
  return and(eq(downloads.id, lease.downloadId), eq(downloads.epoch, lease.epoch), isLive);
}

/**
 * Locks a download that the lease gives the right to, without its model; LEASE_STALE. Those who do not change it `share` the lock,
 * and do not wait for each other.
 */
export async function lockHeld(
  tx: Transaction,
  lease: Lease,
  strength: "update" | "share" = "update",
): Promise<DownloadRow> {
  const [row] = await tx.select().from(downloads).where(isHeld(lease)).for(strength);
  if (row === undefined) throw leaseStale(lease);
  return row;
}

/** The same with its model, for what changes that too. */
export async function lockHeldWithModel(
  tx: Transaction,
  lease: Lease,
): Promise<{ model: ModelRow; download: DownloadRow }> {
  const locked = await lockDownload(tx, lease.downloadId);
  if (locked === undefined || locked.download.epoch !== lease.epoch || isTerminal(locked.download.state)) {
    throw leaseStale(lease);
  }
  return locked;
}
