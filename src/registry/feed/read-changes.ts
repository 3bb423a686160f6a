import { asc, gt, sql } from "drizzle-orm";
import { DomainError } from "../../domain/errors.ts";
import type { Change } from "../../domain/ports/feeds.ts";
import type { Database } from "../database.ts";
import { eventCounter, events } from "../schema/events.ts";
import { toChange } from "./stored-change.ts";

/** How many changes are read at once. */
export const CHANGES_PAGE = 500;

/** A part of the feed. */
export interface ChangesPage {
  /** What came next, in order and without holes; all there is if they are fewer than {@link CHANGES_PAGE}. */
  readonly changes: readonly Change[];
  /** The newest sequence of the feed. */
  readonly current: number;
  /** Whether the feed no longer has what came next, or has not come so far. */
  readonly outOfRange: boolean;
}

/** Reads from the feed what came after a sequence, as one statement sees it. */
export async function readChanges(database: Database, after: number): Promise<ChangesPage> {
  const rows = await database.read((db) => {
    const next = db
      .select()
      .from(events)
      .where(gt(events.sequence, after))
      .orderBy(asc(events.sequence))
      .limit(CHANGES_PAGE)
      .as("next");
    const { sequence, time, kind, noun, resource } = next;
    return db
      .select({ current: eventCounter.sequence, next: { sequence, time, kind, noun, resource } })
      .from(eventCounter)
      .leftJoin(next, sql`true`)
      .orderBy(asc(next.sequence));
  });
  const current = rows[0]?.current ?? 0;
  const changes = rows.flatMap(({ next }) => (next === null ? [] : [toChange(next)]));
  const first = changes[0]?.sequence;
  // Numbers have no holes, so that a missing one was removed.
  const outOfRange = first === undefined ? after !== current : first !== after + 1;
  return { changes, current, outOfRange };
}

/** SEQUENCE_EXPIRED, which says what the feed has. */
export function sequenceExpired(after: number, current: number): DomainError {
  const message =
    after > current
      ? `sequence ${after} is not there yet, the feed is at ${current}: it was not this service that said it`
      : `the feed no longer has all that came after sequence ${after}: list again, or watch without it`;
  return new DomainError("SEQUENCE_EXPIRED", message, { metadata: { current_sequence: String(current) } });
}
