import { eq, type SQL } from "drizzle-orm";
import { DOWNLOAD_TRANSITIONS, type Download, isTerminal } from "../domain/download.ts";
import { assertTransition } from "../domain/transitions.ts";
import { releaseBlobs } from "./blob-records.ts";
import type { Transaction } from "./database.ts";
import { type DownloadRow, toDownload } from "./download-rows.ts";
import type { Changes } from "./events.ts";
import { clock } from "./rows.ts";
import { blobReferences, downloadProgress, downloads } from "./schema/downloads.ts";

/** What may be written to a download that exists. */
export type DownloadColumns = Partial<
  Pick<
    DownloadRow,
    | "state"
    | "priority"
    | "rateLimit"
    | "resolvedRevision"
    | "attempt"
    | "counters"
    | "version"
    | "error"
    | "epoch"
    | "owner"
    | "fruitlessClaims"
    | "parkedBytes"
    | "parkings"
  >
> & { leaseExpireTime?: null; parkedUntil?: SQL | null };

/** What is so of a download that is not parked. */
export const NOT_PARKED = { parkedBytes: null, parkedUntil: null, parkings: 0 };

/** What callers see of a download besides its progress. */
const VISIBLE = ["state", "resolvedRevision", "priority", "rateLimit"] as const;

/**
 * Writes a change of a locked download, with its event if a caller can see it. This and a claim are the only writers of a
 * download's state; STATE_INVALID for a change that the table of transitions does not know.
 */
export async function changeDownload(
  tx: Transaction,
  changes: Changes,
  download: DownloadRow,
  columns: DownloadColumns,
): Promise<Download> {
  const { state = download.state } = columns;
  const moves = state !== download.state;
  const visible = VISIBLE.some((column) => columns[column] !== undefined && columns[column] !== download[column]);
  if (moves) assertTransition(DOWNLOAD_TRANSITIONS, `download '${download.id}'`, download.state, state);
  const [changed = download] = await tx
    .update(downloads)
    .set({
      ...columns,
      ...(visible ? { updateTime: clock } : {}),
      ...(moves ? { endTime: isTerminal(state) ? clock : null } : {}),
    })
    .where(eq(downloads.id, download.id))
    .returning();
  const [kept] = await tx
    .select({ counters: downloadProgress.counters })
    .from(downloadProgress)
    .where(eq(downloadProgress.downloadId, download.id));
  const result = toDownload(changed, kept?.counters);
  if (visible) changes.add("UPDATED", "download", result);
  return result;
}

/** Ends a locked download: nobody owns it any more, and the blobs that it counted on are no longer held for it. */
export async function endDownload(
  tx: Transaction,
  changes: Changes,
  download: DownloadRow,
  end: DownloadColumns & { readonly state: "SUCCEEDED" | "FAILED" | "CANCELLED" },
): Promise<Download> {
  const released = await tx
    .delete(blobReferences)
    .where(eq(blobReferences.downloadId, download.id))
    .returning({ digest: blobReferences.digest });
  // After a success the version's files hold them.
  if (end.state !== "SUCCEEDED") {
    await releaseBlobs(
      tx,
      released.map(({ digest }) => digest),
    );
  }
  const [kept] = await tx
    .delete(downloadProgress)
    .where(eq(downloadProgress.downloadId, download.id))
    .returning({ counters: downloadProgress.counters });
  return await changeDownload(tx, changes, download, {
    counters: kept?.counters ?? download.counters,
    ...end,
    // The epoch of a success stays, by which its owner knows it again.
    epoch: end.state === "SUCCEEDED" ? download.epoch : download.epoch + 1,
    owner: null,
    leaseExpireTime: null,
  });
}
