import { and, eq, ne, type SQL, sql } from "drizzle-orm";
import type { Lease } from "../domain/ports/download-jobs.ts";
import type { EvictedVersion, QuotaRecords, QuotaShortage } from "../domain/ports/quota.ts";
import type { Database, Transaction } from "./database.ts";
import { isLive, lockHeld } from "./download-rows.ts";
import { blobs } from "./schema/blobs.ts";
import { downloads } from "./schema/downloads.ts";
import { models } from "./schema/models.ts";
import { lockVersion } from "./version-rows.ts";
import { removeVersion } from "./versions.ts";

/** Any number that no other lock of the database has: claims come one after the other, also those of several processes. */
const CLAIMS = 0x71756f74;

/** How often a version that came into use meanwhile is passed over for the next. */
const ATTEMPTS = 10;

/** The quota of a database. */
export function createQuotaRecords(database: Database): QuotaRecords {
  return {
    claim: (lease, contentBytes, quotaBytes) => claim(database, lease, contentBytes, quotaBytes),
    shortage: (bytes, quotaBytes) =>
      database.transact(async (tx) => {
        await tx.execute(sql`select pg_advisory_xact_lock(${CLAIMS})`);
        return await findShortage(tx, bytes, quotaBytes, isLive);
      }),
    evict: () => evict(database),
  };
}

/** Versions that something needs, and the blobs that no eviction frees, those that just came by themselves among them. */
const KEPT = sql`
  needed as (
    select model_id, version from versions
    where pinned
      or exists (select from aliases where (aliases.model_id, aliases.version) = (versions.model_id, versions.version))
      or exists (
        select from assignments where (assignments.model_id, assignments.version) = (versions.model_id, versions.version))
      or exists (select from ${downloads} where ${downloads.modelId} = versions.model_id and ${isLive})
  ),
  kept as (
    select digest from version_files join needed using (model_id, version)
    union
    select digest from blob_references
    union
    select digest from blobs where released_time > clock_timestamp()
  )`;

/** What a download, in a query on downloads, will still bring in. */
const OUTSTANDING = sql`greatest(0, downloads.content_bytes - (
  select coalesce(sum(blobs.size), 0) from blob_references join blobs using (digest)
  where blob_references.download_id = downloads.id and blobs.state = 'READY'))`;

async function claim(
  database: Database,
  lease: Lease,
  contentBytes: number,
  quotaBytes: number,
): Promise<QuotaShortage | undefined> {
  return await database.transact(async (tx) => {
    const { id } = await lockHeld(tx, lease);
    await tx.execute(sql`select pg_advisory_xact_lock(${CLAIMS})`);
    const noted = await tx
      .update(downloads)
      .set({ contentBytes })
      .where(eq(downloads.id, id))
      .returning({ needed: OUTSTANDING.mapWith(Number) });
    const neededBytes = noted[0]?.needed ?? 0;
    const others = and(ne(downloads.id, id), isLive);
    const found = await findShortage(tx, neededBytes, quotaBytes, others);
    // What does not fit counts for nobody.
    if (found !== undefined) await tx.update(downloads).set({ contentBytes: 0 }).where(eq(downloads.id, id));
    return found;
  });
}

/** What is short for `neededBytes` beside what the downloads of a condition will still bring in. */
async function findShortage(
  tx: Transaction,
  neededBytes: number,
  quotaBytes: number,
  others: SQL | undefined,
): Promise<QuotaShortage | undefined> {
  const usedBytes = await sum(tx, sql`select sum(size) from blobs where ${ne(blobs.state, "DAMAGED")}`);
  const reservedBytes = await sum(tx, sql`select sum(${OUTSTANDING}) from ${downloads} where ${others}`);
  if (neededBytes === 0 || usedBytes + reservedBytes + neededBytes <= quotaBytes) return undefined;
  const keptBytes = await sum(tx, sql`with ${KEPT} select sum(size) from blobs join kept using (digest)`);
  const pinnedBytes = await sum(
    tx,
    sql`select sum(size) from blobs where exists (
      select from version_files join versions using (model_id, version)
      where version_files.digest = blobs.digest and versions.pinned)`,
  );
  return { neededBytes, usedBytes, keptBytes, pinnedBytes, reservedBytes };
}

async function sum(tx: Transaction, query: SQL): Promise<number> {
  const [row] = await tx.execute<{ sum: string | number | null }>(query);
  return Number(row?.sum ?? 0);
}

/** The first to go: it frees something by itself, or together with others that are not needed either. */
async function leastUsed(tx: Transaction): Promise<{ modelId: string; version: number } | undefined> {
  const [row] = await tx.execute<{ model_id: string; version: number }>(sql`
    with ${KEPT}
    select model_id, version from versions
    where (model_id, version) not in (select model_id, version from needed)
      and exists (
        select from version_files file
        where (file.model_id, file.version) = (versions.model_id, versions.version)
          and file.digest not in (select digest from kept))
    order by last_used_time, create_time, model_id, version
    limit 1`);
  return row && { modelId: row.model_id, version: row.version };
}

async function evict(database: Database): Promise<EvictedVersion | undefined> {
  return await database.transact(async (tx, changes) => {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const chosen = await leastUsed(tx);
      if (chosen === undefined) return undefined;
      const [model] = await tx.select().from(models).where(eq(models.id, chosen.modelId)).for("update");
      // Whoever pins, names, assigns, deletes or downloads holds the model too: what is still so stays so.
      const still = await leastUsed(tx);
      if (model === undefined || still?.modelId !== model.id || still.version !== chosen.version) continue;
      const row = await lockVersion(tx, model.id, still.version);
      await removeVersion(tx, changes, model, row);
      return { modelId: model.id, version: row.version, lastUsedTime: row.lastUsedTime };
    }
    return undefined;
  });
}
