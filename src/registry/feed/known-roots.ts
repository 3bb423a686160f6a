import { sql } from "drizzle-orm";
import type { Filter } from "../../domain/filter.ts";
import { matchesFilter } from "../../domain/matches-filter.ts";
import type { Database } from "../database.ts";
import { compileFilter } from "../filter-sql.ts";
import type { EventKind } from "../schema/events.ts";
import type { Standing } from "./scope.ts";
import { reviveResource } from "./stored-change.ts";
import type { Subject } from "./subject.ts";

interface Touched extends Record<string, unknown> {
  readonly id: string;
  readonly first_kind: EventKind;
  readonly prior_kind: EventKind | null;
  readonly prior: Record<string, unknown> | null;
}

/**
 * The roots that matched a filter at an earlier sequence: those that match now, but for the ones changed since, for which the last
 * event before says it.
 */
export async function knownRootsAt(
  database: Database,
  subject: Subject,
  filter: Filter,
  sequence: number,
): Promise<Map<string, Standing>> {
  return await database.snapshot(async (tx) => {
    const ids = await subject.readRootIds(tx, compileFilter(filter, subject.filterColumns));
    const known = new Map(ids.map((id): [string, Standing] => [id, { since: sequence, sure: true }]));
    // The noun is written out for the sake of the index, which is of these rows alone.
    const noun = sql.raw(`'${subject.root}'`);
    const touched = await tx.execute<Touched>(sql`
      select first.id, first.kind as first_kind, prior.kind as prior_kind, prior.resource as prior
      from (
        select distinct on (resource ->> 'id') resource ->> 'id' as id, kind
        from events where noun = ${noun} and sequence > ${sequence}
        order by resource ->> 'id', sequence
      ) first
      left join lateral (
        select kind, resource from events
        where noun = ${noun} and resource ->> 'id' = first.id and sequence <= ${sequence}
        order by sequence desc limit 1
      ) prior on true`);
    for (const { id, first_kind: firstKind, prior_kind: priorKind, prior } of touched) {
      if (prior === null) {
        if (firstKind === "CREATED") known.delete(id);
        // It did not change for longer than the feed remembers.
        else known.set(id, { since: sequence, sure: false });
      } else if (
        priorKind !== "DELETED" &&
        matchesFilter(filter, subject.filterFields, reviveResource(subject.root, prior))
      ) {
        known.set(id, { since: sequence, sure: true });
      } else known.delete(id);
    }
    return known;
  });
}
