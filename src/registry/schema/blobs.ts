import { index, pgTable, text } from "drizzle-orm/pg-core";
import type { Digest } from "../../domain/digest.ts";
import { moment, wholeNumber } from "./columns.ts";

/** WRITING until the bytes are known to be in the store; DAMAGED once they are known to be lost, until they are placed anew. */
export type BlobState = "WRITING" | "READY" | "DAMAGED";

/**
 * What is known of verified bytes. Whoever moves a blob's bytes holds its row meanwhile: `for update` to take them away,
 * `for no key update` to place them, which lets others go on counting on bytes that are there already.
 */
export const blobs = pgTable(
  "blobs",
  {
    digest: text("digest").$type<Digest>().primaryKey(),
    /** Bytes. */
    size: wholeNumber("size").notNull(),
    state: text("state").$type<BlobState>().notNull(),
    createTime: moment("create_time").notNull().defaultNow(),
    /** When it last lost a user, or came in; only from then on may a collector's grace count. */
    releasedTime: moment("released_time").notNull().defaultNow(),
    /** When it was last read again and found intact; null if never. */
    verifiedTime: moment("verified_time"),
  },
  (table) => [index("blobs_by_verified_time").on(table.verifiedTime.asc().nullsFirst(), table.digest)],
);
