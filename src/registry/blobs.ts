import { and, asc, eq, sql } from "drizzle-orm";
import { blobsNotFound } from "../domain/blobs-not-found.ts";
import type { Digest } from "../domain/digest.ts";
import type { VersionFile } from "../domain/model.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import type { Database, Transaction } from "./database.ts";
import { lockHeld } from "./download-rows.ts";
import { textArray } from "./rows.ts";
import { blobs } from "./schema/blobs.ts";

/**
 * The sizes of those of some blobs that are in the store. Holds their rows for the rest of the transaction against
 * whoever takes blobs away, and against nobody else: bytes that are placed once more stay there all the while.
 */
export async function holdReady(tx: Transaction, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>> {
  const ready = await tx
    .select({ digest: blobs.digest, size: blobs.size })
    .from(blobs)
    .where(and(sql`${blobs.digest} = any(${textArray(digests)})`, eq(blobs.state, "READY")))
    .orderBy(asc(blobs.digest))
    .for("key share");
  return new Map(ready.map(({ digest, size }) => [digest, size]));
}

/** See `DownloadJobs.reuse`. */
export async function reuse(
  database: Database,
  lease: Lease,
  digests: readonly Digest[],
): Promise<ReadonlyMap<Digest, number>> {
  return await database.transact(async (tx) => {
    await lockHeld(tx, lease);
    const found = await holdReady(tx, digests);
    await refer(tx, lease, [...found.keys()]);
    return found;
  });
}

/** Notes that a download counts on blobs, whose rows the transaction holds. */
export async function refer(tx: Transaction, { downloadId }: Lease, digests: readonly Digest[]): Promise<void> {
  if (digests.length === 0) return;
  await tx.execute(sql`
    insert into blob_references (download_id, digest)
    select ${downloadId}::uuid, digest from unnest(${textArray(digests)}) as digest
    on conflict do nothing`);
}

/** BLOB_NOT_FOUND unless the store has the blob of every file, in its size; holds their rows for the rest of the transaction. */
export async function assertInStore(tx: Transaction, files: readonly VersionFile[]): Promise<void> {
  const sizes = await holdReady(tx, [...new Set(files.map(({ digest }) => digest))]);
  const missing = files.filter(({ digest, size }) => sizes.get(digest) !== size);
  if (missing.length > 0) throw blobsNotFound(missing);
}
