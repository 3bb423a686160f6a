import { sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import type { BlobAdmissions } from "../domain/ports/blob-admissions.ts";
import { type Arrival, holdRows, isAmong, lockRows, markReady } from "./admit.ts";
import type { Database } from "./database.ts";
import { clock } from "./rows.ts";
import { blobs } from "./schema/blobs.ts";

/** Blobs that come in without a download. */
export function createBlobAdmissions(database: Database): BlobAdmissions {
  return {
    admit: (digest, size, place) => admitFree(database, { digest, size, place }),
    async renew(digests) {
      const renewed = await database.read((db) =>
        db.execute<{ digest: Digest; size: string }>(sql`
          with held as (
            select digest from blobs where ${isAmong(digests)} and state = 'READY' order by digest for no key update
          )
          update blobs set released_time = greatest(released_time, ${kept}) from held
          where blobs.digest = held.digest returning blobs.digest, blobs.size`),
      );
      return new Map(renewed.map(({ digest, size }) => [digest, Number(size)]));
    },
  };
}

/** So long nothing needs to refer to a blob that came in by itself. */
const kept = sql`${clock} + interval '1 day'`;

/** See `BlobAdmissions.admit`. */
async function admitFree(database: Database, arrival: Arrival): Promise<void> {
  for (let isAdmitted = false; !isAdmitted; ) {
    await database.transact((tx) => holdRows(tx, [arrival]));
    isAdmitted = await database.transact(
      async (tx, changes) => {
        const former = await lockRows(tx, [arrival.digest]);
        // A collector that gives no grace was between.
        if (former.length === 0) return false;
        await arrival.place();
        await markReady(tx, changes, [arrival], former);
        await tx
          .update(blobs)
          .set({ releasedTime: kept })
          .where(isAmong([arrival.digest]));
        return true;
      },
      { unbounded: true },
    );
  }
}
