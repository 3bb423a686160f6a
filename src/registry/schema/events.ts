import { sql } from "drizzle-orm";
import { boolean, check, index, jsonb, pgTable, text } from "drizzle-orm/pg-core";
import { moment, wholeNumber } from "./columns.ts";

export const EVENT_KINDS = ["CREATED", "UPDATED", "DELETED"] as const;
/** What happened to a resource. */
export type EventKind = (typeof EVENT_KINDS)[number];

export const EVENT_NOUNS = ["model", "version", "alias", "download", "worker", "assignment"] as const;
/** What kind of resource an event is about, as it is named in the contract's oneof. */
export type EventNoun = (typeof EVENT_NOUNS)[number];

/** The feed of committed changes, in the order of their commits. */
export const events = pgTable(
  "events",
  {
    sequence: wholeNumber("sequence").primaryKey(),
    time: moment("time").notNull(),
    kind: text("kind").$type<EventKind>().notNull(),
    noun: text("noun").$type<EventNoun>().notNull(),
    /** The resource as it is after the change, or was before its deletion. */
    resource: jsonb("resource").$type<Record<string, unknown>>().notNull(),
  },
  (table) => [
    // What a filter is for: a watch that resumes asks what it was before.
    index("events_of_roots")
      .on(table.noun, sql`(resource ->> 'id')`, table.sequence)
      .where(sql`noun in ('model', 'worker')`),
  ],
);

/** The one row that numbers events. Locking it is what makes the order of commits the order of sequences. */
export const eventCounter = pgTable(
  "event_counter",
  {
    single: boolean("single").primaryKey().default(true),
    sequence: wholeNumber("sequence").notNull(),
  },
  (table) => [check("event_counter_single", sql`${table.single}`)],
);
