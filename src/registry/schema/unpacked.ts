import { index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import type { Digest } from "../../domain/digest.ts";
import { blobs } from "./blobs.ts";
import { identifier } from "./columns.ts";

/**
 * What archives held that were unpacked, so that none is fetched again while its files are here: the archives themselves are
 * not kept. A row goes with its blob, and an archive of which rows are missing counts as unknown.
 */
export const unpackedFiles = pgTable(
  "unpacked_files",
  {
    /** The digest of the archive, which is no blob. */
    archive: text("archive").$type<Digest>().notNull(),
    path: identifier("path").notNull(),
    digest: text("digest")
      .$type<Digest>()
      .notNull()
      .references(() => blobs.digest, { onDelete: "cascade" }),
    /** How many files the archive has. */
    fileCount: integer("file_count").notNull(),
  },
  (table) => [primaryKey({ columns: [table.archive, table.path] }), index("unpacked_files_by_digest").on(table.digest)],
);
