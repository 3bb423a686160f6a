import { asc, type InferSelectModel, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { Lease } from "../domain/ports/download-jobs.ts";
import { refer } from "./blobs.ts";
import { markVersions } from "./damage-marks.ts";
import type { Database, Transaction } from "./database.ts";
import { isHeld, leaseStale, lockHeld } from "./download-rows.ts";
import type { Changes } from "./events.ts";
import { clock, recordset, textArray } from "./rows.ts";
import { blobs } from "./schema/blobs.ts";
import { downloads } from "./schema/downloads.ts";

/** A blob that is to come into the store. */
export interface Arrival {
  readonly digest: Digest;
  readonly size: number;
  /** Puts its bytes there; see `DownloadJobs.admit`. */
  readonly place: () => Promise<void>;
}

/**
 * Admits blobs of one download together, each with a digest of its own; see `DownloadJobs.admit`. Answers for each how its
 * placing went: one that fails holds no other up.
 */
export async function admit(
  database: Database,
  lease: Lease,
  arrivals: readonly Arrival[],
): Promise<PromiseSettledResult<void>[]> {
  const digests = arrivals.map(({ digest }) => digest);
  await database.transact(async (tx) => {
    await lockHeld(tx, lease, "share");
    await holdRows(tx, arrivals);
    await refer(tx, lease, digests);
  });
  return await database.transact(
    async (tx, changes) => {
      // The download's row is not locked, so that it can be cancelled meanwhile; the references keep the blobs until then.
      const held = await tx.select({ id: downloads.id }).from(downloads).where(isHeld(lease));
      if (held.length === 0) throw leaseStale(lease);
      const former = await lockRows(tx, digests);
      const placed = await Promise.allSettled(arrivals.map(({ place }) => place()));
      const there = arrivals.filter((_, index) => placed[index]?.status === "fulfilled");
      await markReady(tx, changes, there, former);
      return placed;
    },
    { unbounded: true },
  );
}

/** A locked blob as it was before its bytes were placed. */
type FormerRow = Pick<InferSelectModel<typeof blobs>, "digest" | "state">;

/** Locks the rows of blobs whose bytes are about to be placed. */
export async function lockRows(tx: Transaction, digests: readonly Digest[]): Promise<FormerRow[]> {
  return await tx
    .select({ digest: blobs.digest, state: blobs.state })
    .from(blobs)
    .where(isAmong(digests))
    .orderBy(asc(blobs.digest))
    .for("no key update");
}

/** Makes the blobs' rows unless they are there, and holds them against whoever takes blobs away, who may come in between. */
export async function holdRows(tx: Transaction, arrivals: readonly Arrival[]): Promise<void> {
  // In one order for all, or two who admit the same could wait for each other.
  const rows = arrivals
    .map(({ digest, size }) => ({ digest, size, state: "WRITING" as const }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const among = isAmong(rows.map(({ digest }) => digest));
  for (let held = 0; held < rows.length; ) {
    await tx.insert(blobs).values(rows).onConflictDoNothing();
    const found = await tx
      .select({ digest: blobs.digest })
      .from(blobs)
      .where(among)
      .orderBy(asc(blobs.digest))
      .for("key share");
    held = found.length;
  }
}

/** Notes that the bytes of locked blobs are there, also in the versions that had lost them. */
export async function markReady(
  tx: Transaction,
  changes: Changes,
  arrivals: readonly Arrival[],
  former: readonly FormerRow[],
): Promise<void> {
  if (arrivals.length === 0) return;
  const rows = recordset(
    arrivals.map(({ digest, size }) => ({ digest, size })),
    "arrival",
    "digest text, size bigint",
  );
  await tx.execute(sql`
    update blobs set state = 'READY', size = arrival.size, released_time = greatest(released_time, ${clock})
    from ${rows} where blobs.digest = arrival.digest`);
  const there = new Set(arrivals.map(({ digest }) => digest));
  for (const { digest, state } of former) {
    if (state === "DAMAGED" && there.has(digest)) await markVersions(tx, changes, digest);
  }
}

/** The condition that a blob is one of these. */
export function isAmong(digests: readonly Digest[]) {
  return sql`${blobs.digest} = any(${textArray(digests)})`;
}
