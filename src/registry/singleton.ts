import { eq, sql } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { singletons } from "./schema/singletons.ts";

/**
 * Takes a turn at work that one process does for all. The right to it is a lease by the database's clock, prolonged by
 * every turn; a process that stops taking turns loses it to the next that asks.
 *
 * @returns how long ago the last turn was, in milliseconds, 0 for the first of all; undefined if it is another's work.
 */
export async function takeTurn(
  tx: Transaction,
  name: string,
  owner: string,
  leaseMs: number,
): Promise<{ readonly sinceLastMs: number } | undefined> {
  const leaseExpireTime = sql`clock_timestamp() + ${leaseMs}::integer * interval '1 millisecond'`;
  const [row] = await tx
    .select({
      owner: singletons.owner,
      held: sql<boolean>`${singletons.leaseExpireTime} > clock_timestamp()`,
      sinceLastMs: sql`extract(epoch from clock_timestamp() - ${singletons.lastRunTime}) * 1000`.mapWith(Number),
    })
    .from(singletons)
    .where(eq(singletons.name, name))
    .for("update", { skipLocked: true });
  if (row === undefined) {
    // Either nobody ever did it, or another process is at it right now.
    const first = await tx
      .insert(singletons)
      .values({ name, owner, leaseExpireTime, lastRunTime: sql`clock_timestamp()` })
      .onConflictDoNothing()
      .returning({ name: singletons.name });
    return first.length > 0 ? { sinceLastMs: 0 } : undefined;
  }
  if (row.owner !== owner && row.held) return undefined;
  await tx
    .update(singletons)
    .set({ owner, leaseExpireTime, lastRunTime: sql`clock_timestamp()` })
    .where(eq(singletons.name, name));
  return { sinceLastMs: row.sinceLastMs };
}
