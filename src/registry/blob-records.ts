import { and, asc, eq, gt, notExists, type SQL, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { BlobRecords, StoredBlob } from "../domain/ports/storage.ts";
import type { Database, Transaction } from "./database.ts";
import { textArray } from "./rows.ts";
import { blobs } from "./schema/blobs.ts";
import { blobReferences } from "./schema/downloads.ts";
import { versionFiles } from "./schema/models.ts";

/** The blobs of a database. */
export function createBlobRecords(database: Database): BlobRecords {
  return {
    usage: () => usage(database),
    unused: (graceMs, limit, after) => unused(database, graceMs, limit, after),
    forget: (digest, graceMs, take) => forget(database, digest, graceMs, take),
  };
}

/**
 * Notes that blobs have just lost a user: from now on a collector's grace counts. Nobody waits for it: whoever holds a
 * blob's row is about to use it, and whoever places its bytes notes the time when they are there.
 */
export async function releaseBlobs(tx: Transaction, digests: readonly Digest[]): Promise<void> {
  if (digests.length === 0) return;
  await tx.execute(sql`
    with locked as (
      select digest from blobs where digest = any(${textArray(digests)}) for no key update skip locked
    )
    update blobs set released_time = clock_timestamp() from locked where blobs.digest = locked.digest`);
}

async function usage(database: Database) {
  const [row] = await database.read((db) =>
    db
      .select({
        blobBytes: total(isReady),
        blobCount: number(isReady),
        reclaimableBytes: total(and(isReady, isUnused(database))),
        pinnedBytes: total(sql`${isReady} and exists (
          select from version_files join versions using (model_id, version)
          where version_files.digest = blobs.digest and versions.pinned)`),
        damagedBytes: total(isDamaged),
        damagedCount: number(isDamaged),
      })
      .from(blobs),
  );
  return row ?? { blobBytes: 0, blobCount: 0, reclaimableBytes: 0, pinnedBytes: 0, damagedBytes: 0, damagedCount: 0 };
}

/** Of a damaged blob nothing is left to be freed. */
const placedSize = sql<number>`case when ${blobs.state} = 'DAMAGED' then 0 else ${blobs.size} end`.mapWith(Number);

const isReady = eq(blobs.state, "READY");
const isDamaged = eq(blobs.state, "DAMAGED");

function total(where: SQL | undefined) {
  return sql<number>`coalesce(sum(${blobs.size}) filter (where ${where}), 0)`.mapWith(Number);
}

function number(where: SQL | undefined) {
  return sql<number>`count(*) filter (where ${where})`.mapWith(Number);
}

async function unused(
  database: Database,
  graceMs: number,
  limit: number,
  after: Digest | undefined,
): Promise<readonly StoredBlob[]> {
  return await database.read((db) =>
    db
      .select({ digest: blobs.digest, size: placedSize })
      .from(blobs)
      .where(and(isUnused(database), isReleasedFor(graceMs), after && gt(blobs.digest, after)))
      .orderBy(asc(blobs.digest))
      .limit(limit),
  );
}

async function forget(
  database: Database,
  digest: Digest,
  graceMs: number,
  take: () => Promise<void>,
): Promise<boolean> {
  return await database.transact(
    async (tx) => {
      // Who refers to a blob locks its row, if only for its key: after this nobody can, and who did before can be seen.
      const [locked] = await tx
        .select({ digest: blobs.digest })
        .from(blobs)
        .where(eq(blobs.digest, digest))
        .for("update", { skipLocked: true });
      if (locked === undefined) return false;
      const gone = await tx
        .delete(blobs)
        .where(and(eq(blobs.digest, digest), isUnused(database), isReleasedFor(graceMs)))
        .returning({ digest: blobs.digest });
      if (gone.length === 0) return false;
      await take();
      return true;
    },
    { unbounded: true },
  );
}

/** The condition that no version and no live download names a blob. */
export function isUnused({ queries }: Database): SQL | undefined {
  const one = { one: sql`1` };
  return and(
    notExists(queries.select(one).from(versionFiles).where(eq(versionFiles.digest, blobs.digest))),
    notExists(queries.select(one).from(blobReferences).where(eq(blobReferences.digest, blobs.digest))),
  );
}

function isReleasedFor(graceMs: number): SQL {
  return sql`${blobs.releasedTime} <= clock_timestamp() - ${graceMs}::double precision * interval '1 millisecond'`;
}
