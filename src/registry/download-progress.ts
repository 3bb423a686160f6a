import { eq, sql } from "drizzle-orm";
import { validate as isUuid } from "uuid";
import type { FileProgress, Progress } from "../domain/download.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import type { Database } from "./database.ts";
import { countersOf, isLive, toProgress } from "./download-rows.ts";
import { recordset, textArray } from "./rows.ts";
import { downloadProgress, downloads } from "./schema/downloads.ts";

/** See `DownloadJobs.saveProgress`. */
export async function saveProgress(
  database: Database,
  entries: readonly { lease: Lease; progress: Progress }[],
): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map(({ lease, progress }) => ({
    id: lease.downloadId,
    epoch: lease.epoch,
    counters: countersOf(progress),
    files: progress.files,
  }));
  await database.read((db) =>
    db.execute(sql`
      insert into download_progress (download_id, counters, files)
      select downloads.id, told.counters, told.files
      from ${recordset(rows, "told", "id uuid, epoch bigint, counters jsonb, files jsonb")}
      join downloads on downloads.id = told.id and downloads.epoch = told.epoch and ${isLive}
      order by downloads.id
      -- One that is just being ended or given back is waited for, and passed over then.
      for key share of downloads
      on conflict (download_id) do update set counters = excluded.counters, files = excluded.files`),
  );
}

/** What is kept of a live download's files; those of a success are the files of its version. */
const filesField = sql<readonly FileProgress[] | null>`coalesce(${downloadProgress.files}, (
  select jsonb_agg(jsonb_build_object(
    'path', path, 'state', 'COMPLETE', 'completedBytes', size, 'totalBytes', size) order by path)
  from version_files f
  where ${downloads.state} = 'SUCCEEDED' and f.model_id = ${downloads.modelId} and f.version = ${downloads.version}))`;

/** See `DownloadJobs.readProgress`. */
export async function readProgress(
  database: Database,
  downloadIds: readonly string[],
): Promise<ReadonlyMap<string, Progress>> {
  const ids = downloadIds.filter((id) => isUuid(id));
  if (ids.length === 0) return new Map();
  const rows = await database.read((db) =>
    db
      .select({ download: downloads, counters: downloadProgress.counters, files: filesField })
      .from(downloads)
      .leftJoin(downloadProgress, eq(downloadProgress.downloadId, downloads.id))
      .where(sql`${downloads.id} = any(${textArray(ids)}::uuid[])`),
  );
  return new Map(
    rows.map(({ download, counters, files }) => [download.id, toProgress(download, counters, files ?? [])]),
  );
}
