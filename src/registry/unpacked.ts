import { asc, eq, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import { holdReady, refer } from "./blobs.ts";
import type { Database } from "./database.ts";
import { lockHeld } from "./download-rows.ts";
import { recordset } from "./rows.ts";
import { unpackedFiles } from "./schema/unpacked.ts";

/** See `DownloadJobs.reuseUnpacked`. */
export async function reuseUnpacked(
  database: Database,
  lease: Lease,
  archive: Digest,
): Promise<readonly VersionFile[] | undefined> {
  return await database.transact(async (tx) => {
    await lockHeld(tx, lease);
    const rows = await tx
      .select()
      .from(unpackedFiles)
      .where(eq(unpackedFiles.archive, archive))
      .orderBy(asc(unpackedFiles.path));
    const digests = [...new Set(rows.map(({ digest }) => digest))];
    const sizes = await holdReady(tx, digests);
    const files = rows.flatMap(({ path, digest }) => {
      const size = sizes.get(digest);
      return size === undefined ? [] : [{ path, size, digest }];
    });
    if (files.length === 0 || files.length !== rows[0]?.fileCount) return undefined;
    await refer(tx, lease, digests);
    return files;
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
