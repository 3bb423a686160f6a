import { asc, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import { holdReady, refer } from "./blobs.ts";
import type { Database } from "./database.ts";
import { lockHeld } from "./download-rows.ts";
import { recordset, textArray } from "./rows.ts";
import { unpackedFiles } from "./schema/unpacked.ts";

/** See `DownloadJobs.reuseUnpacked`. */
export async function reuseUnpacked(
  database: Database,
  lease: Lease,
  archives: readonly Digest[],
): Promise<ReadonlyMap<Digest, readonly VersionFile[]>> {
  return await database.transact(async (tx) => {
    await lockHeld(tx, lease);
    const rows = await tx
      .select()
      .from(unpackedFiles)
      .where(sql`${unpackedFiles.archive} = any(${textArray(archives)})`)
      .orderBy(asc(unpackedFiles.archive), asc(unpackedFiles.path));
    const sizes = await holdReady(tx, [...new Set(rows.map(({ digest }) => digest))]);
    const found = new Map<Digest, readonly VersionFile[]>();
    for (const [archive, entries] of Map.groupBy(rows, (row) => row.archive)) {
      const files = entries.flatMap(({ path, digest }) => {
        const size = sizes.get(digest);
        return size === undefined ? [] : [{ path, size, digest }];
      });
      if (files.length === entries[0]?.fileCount) found.set(archive, files);
    }
    const digests = [...found.values()].flat().map(({ digest }) => digest);
    await refer(tx, lease, [...new Set(digests)]);
    return found;
  });
}

/** See `DownloadJobs.noteUnpacked`. */
export async function noteUnpacked(
  database: Database,
  lease: Lease,
  archive: Digest,
  files: readonly VersionFile[],
): Promise<void> {
  await database.transact(async (tx) => {
    await lockHeld(tx, lease, "share");
    await tx.execute(sql`
      insert into unpacked_files (archive, path, digest, file_count)
      select ${archive}, path, digest, ${files.length}::integer
      from ${recordset(files, "file", "path text, digest text")}
      on conflict do nothing`);
  });
}
