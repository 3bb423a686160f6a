import { sql } from "drizzle-orm";
import type { Database } from "../database.ts";
import { takeTurn } from "../singleton.ts";

/** How much of the feed is kept. */
export interface Retention {
  /** Milliseconds. */
  readonly maxAgeMs: number;
  readonly maxCount: number;
}

/** A day, and at most a million. */
export const DEFAULT_RETENTION: Retention = { maxAgeMs: 86_400_000, maxCount: 1_000_000 };

const BATCH = 10_000;

/** How long the work is one process's; longer than a batch may take. */
const TURN_LEASE_MS = 10_000;

/** Removes the oldest events that are not to be kept, in small steps; answers how many. Of all processes one does it at a time. */
export async function pruneEvents(database: Database, owner: string, retention = DEFAULT_RETENTION): Promise<number> {
  let pruned = 0;
  for (;;) {
    const count = await database.transact(async (tx) => {
      if ((await takeTurn(tx, "prune-events", owner, TURN_LEASE_MS)) === undefined) return 0;
      // Always from the beginning on, so that what is left has no holes.
      const { count } = await tx.execute(sql`
        with oldest as (select sequence, time from events order by sequence limit ${BATCH})
        delete from events where sequence <= (
          select max(oldest.sequence) from oldest, event_counter
          where oldest.sequence <= event_counter.sequence - ${retention.maxCount}::bigint
            or oldest.time < clock_timestamp() - ${retention.maxAgeMs}::double precision * interval '1 millisecond')`);
      return count;
    });
    pruned += count;
    if (count < BATCH) return pruned;
  }
}
