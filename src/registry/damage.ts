import { and, asc, eq, gt, inArray, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import { formatModelRef } from "../domain/model-ref.ts";
import type { BlobScope, DamagedVersion, DamageRecords } from "../domain/ports/damage.ts";
import { isUnused } from "./blob-records.ts";
import { markVersions } from "./damage-marks.ts";
import type { Database } from "./database.ts";
import { clock, textArray } from "./rows.ts";
import { blobs } from "./schema/blobs.ts";
import { LIVE_STATES } from "./schema/downloads.ts";
import { versionFiles, versions } from "./schema/models.ts";
import { takeTurn } from "./singleton.ts";

/** What a database knows of damage. */
export function createDamageRecords(database: Database): DamageRecords {
  return {
    async count(scope) {
      const counted = {
        blobs: sql<number>`count(*)`.mapWith(Number),
        bytes: sql<number>`coalesce(sum(${blobs.size}), 0)`.mapWith(Number),
      };
      const [row] = await database.read((db) => db.select(counted).from(blobs).where(isIn(scope)));
      return row ?? { blobs: 0, bytes: 0 };
    },
    async list(scope, limit, after) {
      const rows = await database.read((db) =>
        db
          .select({ digest: blobs.digest, size: blobs.size, state: blobs.state })
          .from(blobs)
          .where(and(isIn(scope), after && gt(blobs.digest, after)))
          .orderBy(asc(blobs.digest))
          .limit(limit),
      );
      return rows.map(({ state, ...blob }) => ({ ...blob, damaged: state === "DAMAGED" }));
    },
    leastRecentlyVerified: (restMs, limit) =>
      database.read((db) =>
        db
          .select({ digest: blobs.digest, size: blobs.size })
          .from(blobs)
          .where(
            and(eq(blobs.state, "READY"), or(isNull(blobs.verifiedTime), lte(blobs.verifiedTime, beforeNow(restMs)))),
          )
          .orderBy(sql`${blobs.verifiedTime} asc nulls first`, asc(blobs.digest))
          .limit(limit),
      ),
    async verified(digest) {
      await database.read((db) =>
        db
          .update(blobs)
          .set({ verifiedTime: clock })
          .where(and(eq(blobs.digest, digest), eq(blobs.state, "READY"))),
      );
    },
    declareLost: (digest, takeAway) => declareLost(database, digest, takeAway),
    async namedBy(digest, limit) {
      const rows = await database.read((db) =>
        db
          .selectDistinct({ modelId: versionFiles.modelId, version: versionFiles.version })
          .from(versionFiles)
          .where(eq(versionFiles.digest, digest))
          .orderBy(asc(versionFiles.modelId), asc(versionFiles.version))
          .limit(limit),
      );
      return rows.map(formatModelRef);
    },
    unrepaired: (restMs, limit) => unrepaired(database, restMs, limit),
    async holdScrub(owner, leaseMs) {
      return (await database.transact((tx) => takeTurn(tx, "scrub", owner, leaseMs))) !== undefined;
    },
  };
}

function isIn({ digests }: BlobScope): SQL | undefined {
  const isMeant = digests && sql`${blobs.digest} = any(${textArray(digests)})`;
  return and(inArray(blobs.state, ["READY", "DAMAGED"]), isMeant);
}

function beforeNow(ms: number): SQL {
  return sql`clock_timestamp() - ${ms}::double precision * interval '1 millisecond'`;
}

async function declareLost(database: Database, digest: Digest, takeAway: () => Promise<boolean>): Promise<boolean> {
  return await database.transact(
    async (tx, changes) => {
      const isBlob = eq(blobs.digest, digest);
      // Whoever collects, places or counts on a blob holds its row, if only for its key.
      const [row] = await tx.select({ state: blobs.state }).from(blobs).where(isBlob).for("update");
      if (row?.state !== "READY" || !(await takeAway())) return false;
      const forgotten = await tx
        .delete(blobs)
        .where(and(isBlob, isUnused(database)))
        .returning({ digest: blobs.digest });
      if (forgotten.length > 0) return true;
      await tx.update(blobs).set({ state: "DAMAGED", verifiedTime: null }).where(isBlob);
      await markVersions(tx, changes, digest);
      return true;
    },
    { unbounded: true },
  );
}

async function unrepaired(database: Database, restMs: number, limit: number): Promise<readonly DamagedVersion[]> {
  const lastTried = sql`(
    select max(downloads.end_time) from downloads
    where downloads.model_id = versions.model_id and downloads.repairs_version = versions.version)`;
  // A small file may be part of every version there is: who brings it in for one of them does so for all.
  const lost = sql`(
    select jsonb_agg(distinct file.digest) from version_files file join blobs using (digest)
    where file.model_id = versions.model_id and file.version = versions.version and blobs.state = 'DAMAGED'
      and not exists (
        select from downloads join version_files other
          on other.model_id = downloads.model_id and other.version = downloads.repairs_version
        where other.digest = file.digest and downloads.state in ${LIVE_STATES}))`;
  // What brought the version in may bring its bytes in again.
  const credential = sql<string | null>`(
    select downloads.credential from downloads
    where downloads.model_id = versions.model_id and downloads.version = versions.version
    order by downloads.end_time desc limit 1)`;
  const rows = await database.read((db) =>
    db
      .select({
        modelId: versions.modelId,
        version: versions.version,
        resolvedRevision: versions.resolvedRevision,
        damagedFiles: versions.damagedFiles,
        lost: sql<readonly Digest[]>`${lost}`,
        credential,
      })
      .from(versions)
      .where(
        and(
          sql`${versions.damagedFiles} <> '[]'`,
          sql`${lost} is not null`,
          sql`${lastTried} > ${beforeNow(restMs)} is not true`,
        ),
      )
      // Where one failed, another that misses the same bytes may have them from elsewhere.
      .orderBy(sql`${lastTried} asc nulls first`, asc(versions.modelId), asc(versions.version))
      .limit(limit),
  );
  return rows.map((row) => ({ ...row, credential: row.credential ?? "" }));
}
