import { and, asc, desc, eq, gt, inArray, isNotNull, isNull, lte, ne, notInArray, or, sql } from "drizzle-orm";
import { DOWNLOAD_TRANSITIONS, type DownloadState, type Progress } from "../domain/download.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Failure } from "../domain/failure.ts";
import type { Claimable, ClaimedDownload, Lease, Parking } from "../domain/ports/download-jobs.ts";
import type { Source } from "../domain/source.ts";
import { assertTransition } from "../domain/transitions.ts";
import { changeDownload, type DownloadColumns, endDownload } from "./change-download.ts";
import { settleModel } from "./change-model.ts";
import type { Database } from "./database.ts";
import {
  AT_REST,
  countersOf,
  downloadFields,
  isLive,
  lockHeld,
  lockHeldWithModel,
  toDownload,
} from "./download-rows.ts";
import { clock, recordset } from "./rows.ts";
import { downloadProgress, downloads } from "./schema/downloads.ts";
import { models } from "./schema/models.ts";

/**
 * How often in a row an owner may be lost without one more byte being complete, before the download is given up: what
 * kills its owners would go on doing so. Giving a download back, as a shutdown does, is no loss.
 */
const MAX_FRUITLESS_CLAIMS = 20;

const GIVEN_UP: Failure = {
  reason: "INTERNAL",
  message: `given up: the process that worked on it was lost ${MAX_FRUITLESS_CLAIMS} times in a row without progress`,
  metadata: {},
};

/** A parking never lasts longer by itself: a time further away was written before the clock was set back. */
const LONGEST_PARKING = sql`interval '1 hour'`;

function mayBeClaimed({ roomBytes, running = [] }: Claimable) {
  const { parkedBytes, parkedUntil } = downloads;
  const ranOut = lte(downloads.leaseExpireTime, sql`now()`);
  return and(
    isLive,
    ne(downloads.state, "PAUSED"),
    or(isNull(downloads.owner), running.length > 0 ? and(ranOut, notInArray(downloads.id, [...running])) : ranOut),
    or(isNull(parkedBytes), roomBytes === undefined ? undefined : lte(parkedBytes, roomBytes)),
    or(isNull(parkedUntil), lte(parkedUntil, sql`now()`), gt(parkedUntil, sql`now() + ${LONGEST_PARKING}`)),
  );
}

/** See `DownloadJobs.claim`. */
export async function claim(
  database: Database,
  owner: string,
  limit: number,
  leaseMs: number,
  among: Claimable = {},
): Promise<ClaimedDownload[]> {
  const givenUp: Lease[] = [];
  const claimed = await database.transact(async (tx, changes) => {
    givenUp.length = 0;
    const found = await tx
      .select({ download: downloadFields, source: models.source })
      .from(downloads)
      .innerJoin(models, eq(models.id, downloads.modelId))
      .where(mayBeClaimed(among))
      .orderBy(desc(downloads.priority), asc(downloads.createTime), asc(downloads.id))
      .limit(limit)
      .for("update", { of: downloads, skipLocked: true });
    const result: ClaimedDownload[] = [];
    for (const { download, source } of found) {
      const { kept, ...row } = download;
      const { completedBytes } = kept ?? row.counters;
      const fruitless = row.owner !== null && completedBytes <= row.claimBytes ? row.fruitlessClaims + 1 : 0;
      if (fruitless >= MAX_FRUITLESS_CLAIMS) {
        givenUp.push({ downloadId: row.id, epoch: row.epoch });
        continue;
      }
      const moves = row.state !== "QUEUED";
      if (moves) assertTransition(DOWNLOAD_TRANSITIONS, `download '${row.id}'`, row.state, "QUEUED");
      const [taken = row] = await tx
        .update(downloads)
        .set({
          state: "QUEUED",
          owner,
          leaseExpireTime: fromNow(leaseMs),
          epoch: row.epoch + 1,
          attempt: row.attempt + 1,
          fruitlessClaims: fruitless,
          claimBytes: completedBytes,
          parkedBytes: null,
          parkedUntil: null,
          ...(moves ? { updateTime: clock } : {}),
        })
        .where(eq(downloads.id, row.id))
        .returning();
      const answer = toDownload(taken, kept);
      if (moves) changes.add("UPDATED", "download", answer);
      const lease = { downloadId: row.id, epoch: taken.epoch };
      const { parkings, withToken } = row;
      result.push({ lease, download: answer, source: withCredential(source, row.credential), parkings, withToken });
    }
    return result;
  });
  for (const lease of givenUp) await giveUp(database, lease);
  return claimed;
}

/** Ends every lease now; only for a process that knows that it is alone. A lost owner still counts against a download. */
export async function endAllLeases(database: Database): Promise<void> {
  await database.read((db) =>
    db
      .update(downloads)
      .set({ leaseExpireTime: sql`now()` })
      .where(and(isLive, isNotNull(downloads.owner))),
  );
}

function fromNow(ms: number) {
  return sql`clock_timestamp() + ${Math.round(ms)}::integer * interval '1 millisecond'`;
}

function withCredential(source: Source, credential: string): Source {
  return credential === "" || !("credential" in source) ? source : { ...source, credential };
}

async function giveUp(database: Database, lease: Lease): Promise<void> {
  try {
    await endAsFailed(database, lease, { error: GIVEN_UP });
  } catch (error) {
    // Another process was faster: no reason to lose what was claimed beside it.
    if (!isDomainError(error, "LEASE_STALE")) throw error;
  }
}

/** See `DownloadJobs.renew`. */
export async function renew(
  database: Database,
  leases: readonly Lease[],
  leaseMs: number,
): Promise<ReadonlyMap<string, { rateLimit?: number }>> {
  if (leases.length === 0) return new Map();
  const renewed = await database.transact((tx) => {
    const told = recordset(leases, "told", '"downloadId" uuid, epoch bigint');
    // Locked in the order of their ids, as the deletion of a model does it.
    const held = tx
      .select({ id: downloads.id })
      .from(downloads)
      .where(and(sql`(${downloads.id}, ${downloads.epoch}) in (select "downloadId", epoch from ${told})`, isLive))
      .orderBy(asc(downloads.id))
      .for("update");
    return tx
      .update(downloads)
      .set({ leaseExpireTime: fromNow(leaseMs) })
      .where(inArray(downloads.id, held))
      .returning({ id: downloads.id, rateLimit: downloads.rateLimit });
  });
  return new Map(renewed.map(({ id, rateLimit }) => [id, { rateLimit: rateLimit ?? undefined }]));
}

/** See `DownloadJobs.advance`. */
export async function advance(
  database: Database,
  lease: Lease,
  state: DownloadState,
  facts: { resolvedRevision?: string; attempt?: number } = {},
): Promise<void> {
  await database.transact(async (tx, changes) => {
    const download = await lockHeld(tx, lease);
    await changeDownload(tx, changes, download, {
      state,
      resolvedRevision: facts.resolvedRevision ?? download.resolvedRevision,
      attempt: Math.max(facts.attempt ?? 0, download.attempt),
    });
  });
}

/** See `DownloadJobs.release`. */
export async function release(database: Database, lease: Lease, progress: Progress, parking?: Parking): Promise<void> {
  await database.transact(async (tx, changes) => {
    const download = await lockHeld(tx, lease);
    await tx.delete(downloadProgress).where(eq(downloadProgress.downloadId, download.id));
    await changeDownload(tx, changes, download, {
      state: "QUEUED",
      counters: { ...countersOf(progress), ...AT_REST, waiting: parking && progress.waiting },
      parkedBytes: parking?.bytes ?? null,
      parkedUntil: parking === undefined ? null : fromNow(parking.waitMs),
      parkings: parking?.parkings ?? download.parkings,
      epoch: download.epoch + 1,
      owner: null,
      leaseExpireTime: null,
    });
  });
}

/** See `DownloadJobs.fail`. */
export async function fail(database: Database, lease: Lease, failure: Failure, progress: Progress): Promise<void> {
  await endAsFailed(database, lease, { error: failure, counters: countersOf(progress) });
}

async function endAsFailed(
  database: Database,
  lease: Lease,
  facts: Pick<DownloadColumns, "error" | "counters">,
): Promise<void> {
  await database.transact(async (tx, changes) => {
    const { model, download } = await lockHeldWithModel(tx, lease);
    await endDownload(tx, changes, download, { ...facts, state: "FAILED" });
    await settleModel(tx, changes, model, "FAILED");
  });
}
