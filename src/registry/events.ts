import { sql } from "drizzle-orm";
import type { Resources } from "../domain/ports/feeds.ts";
import type { Executor, Transaction } from "./database.ts";
import { type EventKind, type EventNoun, eventCounter } from "./schema/events.ts";

interface Change {
  readonly kind: EventKind;
  readonly noun: EventNoun;
  readonly resource: unknown;
}

/** The changes of one transaction, in their order. */
export class Changes {
  readonly #changes: Change[] = [];

  get length(): number {
    return this.#changes.length;
  }

  /** Adds a change with the resource as it is after it, or was before its deletion. */
  add<Noun extends EventNoun>(kind: EventKind, noun: Noun, resource: Resources[Noun]): void {
    // A version's files would make its event as large as its manifest.
    this.#changes.push({ kind, noun, resource: noun === "version" ? { ...resource, files: undefined } : resource });
  }

  /**
   * Writes the changes as events. It must be the transaction's last statement: the counter's row stays locked until the
   * commit, so that whoever takes the next number also commits later.
   */
  async write(tx: Transaction): Promise<void> {
    const count = this.#changes.length;
    if (count === 0) return;
    await tx.execute(sql`
      with counter as (
        update event_counter set sequence = sequence + ${count}::bigint returning sequence - ${count}::bigint as base
      )
      insert into events (sequence, time, kind, noun, resource)
      select counter.base + change.position, clock_timestamp(), change.kind, change.noun, change.resource
      from counter,
        rows from (jsonb_to_recordset(${JSON.stringify(this.#changes)}::jsonb) as (kind text, noun text, resource jsonb))
        with ordinality as change (kind, noun, resource, position)`);
  }
}

/** The number of the newest event that the executor's snapshot sees. */
export async function currentSequence(executor: Executor): Promise<number> {
  const [row] = await executor.select({ sequence: eventCounter.sequence }).from(eventCounter);
  return row?.sequence ?? 0;
}
