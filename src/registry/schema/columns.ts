import { bigint, customType, timestamp } from "drizzle-orm/pg-core";

/** Text that sorts by its bytes, whatever the collation of the database: for ids, and what pages are ordered by. */
export const identifier = customType<{ data: string }>({ dataType: () => 'text collate "C"' });

/** A moment with milliseconds, which is what a `Date` holds: a finer one would not be found again by its own value. */
export const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });

/** A whole number up to 2^53 - 1: bytes, counters. */
export const wholeNumber = (name: string) => bigint(name, { mode: "number" });
