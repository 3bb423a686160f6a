import { pgTable, text } from "drizzle-orm/pg-core";
import type { Digest } from "../../domain/digest.ts";
import { moment, wholeNumber } from "./columns.ts";

/** WRITING until the bytes are known to be in the store. */
export type BlobState = "WRITING" | "READY";

/** What is known of verified bytes. Whoever moves a blob's bytes holds the lock of its row meanwhile. */
export const blobs = pgTable("blobs", {
  digest: text("digest").$type<Digest>().primaryKey(),
  /** Bytes. */
  size: wholeNumber("size").notNull(),
  state: text("state").$type<BlobState>().notNull(),
  createTime: moment("create_time").notNull().defaultNow(),
});
