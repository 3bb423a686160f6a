import { and, eq, ne, sql } from "drizzle-orm";
import { type Download, type DownloadChanges, isTerminal } from "../domain/download.ts";
import { DomainError } from "../domain/errors.ts";
import { changeDownload, endDownload, NOT_PARKED } from "./change-download.ts";
import { settleModel } from "./change-model.ts";
import type { Database, Transaction } from "./database.ts";
import {
  AT_REST,
  type DownloadRow,
  downloadNotFound,
  isLive,
  lockDownload,
  readDownload,
  toDownload,
} from "./download-rows.ts";
import type { Changes } from "./events.ts";
import type { ModelRow } from "./model-rows.ts";
import { downloadProgress, downloads } from "./schema/downloads.ts";

/** What callers do with a download that exists, whoever works on it. */
type Control = (
  tx: Transaction,
  changes: Changes,
  locked: { model: ModelRow; download: DownloadRow },
) => Promise<Download>;

/** See `Downloads.update`. */
export async function update(database: Database, downloadId: string, wanted: DownloadChanges): Promise<Download> {
  return await control(database, downloadId, async (tx, changes, { download }) => {
    if (isTerminal(download.state)) throw hasEnded(download);
    return await changeDownload(tx, changes, download, { priority: wanted.priority, rateLimit: wanted.rateLimit });
  });
}

/** See `Downloads.pause`. */
export async function pause(database: Database, downloadId: string): Promise<Download> {
  return await control(database, downloadId, async (tx, changes, { download }) => {
    if (isTerminal(download.state)) throw hasEnded(download);
    if (download.state === "PAUSED") return await readDownload(tx, download.id);
    // Once it is resumed, it waits for nothing but its turn. What its owner told last may be lost with the database.
    const [told] = await tx
      .update(downloadProgress)
      .set({ counters: sql`${downloadProgress.counters} - 'waiting'` })
      .where(eq(downloadProgress.downloadId, download.id))
      .returning({ counters: downloadProgress.counters });
    return await changeDownload(tx, changes, download, {
      state: "PAUSED",
      ...NOT_PARKED,
      counters: { ...(told ?? download).counters, ...AT_REST },
      epoch: download.epoch + 1,
      owner: null,
      leaseExpireTime: null,
    });
  });
}

/** See `Downloads.resume`. */
export async function resume(database: Database, downloadId: string): Promise<Download> {
  return await control(database, downloadId, async (tx, changes, { model, download }) => {
    if (download.state !== "PAUSED" && download.state !== "FAILED") {
      if (isTerminal(download.state)) throw hasEnded(download);
      return await readDownload(tx, download.id);
    }
    const [rival] = await tx
      .select({ id: downloads.id })
      .from(downloads)
      .where(
        and(
          eq(downloads.modelId, download.modelId),
          eq(downloads.identity, download.identity),
          ne(downloads.id, download.id),
          isLive,
        ),
      );
    if (rival !== undefined) {
      throw new DomainError("OPERATION_CONFLICT", `download '${rival.id}' gets the same files of the model already`, {
        metadata: { download_id: rival.id },
      });
    }
    const resumed = await changeDownload(tx, changes, download, {
      state: "QUEUED",
      error: null,
      fruitlessClaims: 0,
      ...NOT_PARKED,
    });
    await settleModel(tx, changes, model, "REGISTERED");
    return resumed;
  });
}

/** See `Downloads.cancel`. */
export async function cancel(database: Database, downloadId: string): Promise<Download> {
  return await control(database, downloadId, async (tx, changes, { model, download }) => {
    if (download.state === "CANCELLED") return toDownload(download);
    if (isTerminal(download.state)) throw hasEnded(download);
    const cancelled = await endDownload(tx, changes, download, { state: "CANCELLED" });
    await settleModel(tx, changes, model, "REGISTERED");
    return cancelled;
  });
}

async function control(database: Database, downloadId: string, act: Control): Promise<Download> {
  return await database.transact(async (tx, changes) => {
    const locked = await lockDownload(tx, downloadId);
    if (locked === undefined) throw downloadNotFound(downloadId);
    return await act(tx, changes, locked);
  });
}

function hasEnded({ id, state }: DownloadRow): DomainError {
  return new DomainError("STATE_INVALID", `the download has ended already: it is ${state}`, {
    metadata: { download_id: id },
  });
}
