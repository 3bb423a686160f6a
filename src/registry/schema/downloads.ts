import { sql } from "drizzle-orm";
import { boolean, index, integer, jsonb, pgTable, primaryKey, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import type { Digest } from "../../domain/digest.ts";
import {
  DOWNLOAD_STATES,
  type DownloadState,
  type FileProgress,
  isTerminal,
  type Progress,
} from "../../domain/download.ts";
import type { Failure } from "../../domain/failure.ts";
import { blobs } from "./blobs.ts";
import { identifier, moment, wholeNumber } from "./columns.ts";
import { models } from "./models.ts";

/** The part of a job's progress that is kept as it was told; the rest has columns of its own. */
export interface Counters
  extends Pick<
    Progress,
    | "completedBytes"
    | "totalBytes"
    | "sourceBytes"
    | "peerBytes"
    | "reusedBytes"
    | "completedFiles"
    | "totalFiles"
    | "bytesPerSecond"
    | "etaMs"
    | "waiting"
  > {
  /** ISO 8601. */
  readonly updateTime?: string;
}

/** The states of a download that has not ended, as constants: a partial index serves no query that has them as parameters. */
export const LIVE_STATES = sql.raw(
  `(${DOWNLOAD_STATES.filter((state) => !isTerminal(state))
    .map((state) => `'${state}'`)
    .join(", ")})`,
);

export const downloads = pgTable(
  "downloads",
  {
    id: uuid("id").primaryKey(),
    modelId: identifier("model_id")
      .notNull()
      .references(() => models.id),
    /** Hash of revision and patterns: with the model what makes a live download the same as another. */
    identity: text("identity").notNull(),
    revision: text("revision").notNull(),
    allowPatterns: jsonb("allow_patterns").$type<readonly string[]>().notNull(),
    ignorePatterns: jsonb("ignore_patterns").$type<readonly string[]>().notNull(),
    /** The name of a configured credential that replaces the source's own; a token is never kept. */
    credential: text("credential").notNull().default(""),
    /** Whether the call gave a token: whoever runs the download without one may say that it was lost. */
    withToken: boolean("with_token").notNull().default(false),
    state: text("state").$type<DownloadState>().notNull(),
    priority: integer("priority").notNull(),
    rateLimit: wholeNumber("rate_limit"),
    resolvedRevision: text("resolved_revision").notNull().default(""),
    attempt: integer("attempt").notNull().default(0),
    counters: jsonb("counters").$type<Counters>().notNull(),
    version: integer("version"),
    /** The version whose lost bytes it brings back; null for a download that may make one. */
    repairsVersion: integer("repairs_version"),
    /** The sizes of its contents in all, as far as its plan knew them; 0 before there was one. */
    contentBytes: wholeNumber("content_bytes").notNull().default(sql`0`),
    error: jsonb("error").$type<Failure>(),
    /** Raised whenever the right to work on it changes hands or ends; never lowered. */
    epoch: wholeNumber("epoch").notNull().default(sql`0`),
    owner: text("owner"),
    leaseExpireTime: moment("lease_expire_time"),
    /** Claims in a row whose lease was lost before more bytes were complete than `claimBytes`. */
    fruitlessClaims: integer("fruitless_claims").notNull().default(0),
    claimBytes: wholeNumber("claim_bytes").notNull().default(sql`0`),
    /** A parked download is claimed only where so much room is, and not before a time. */
    parkedBytes: wholeNumber("parked_bytes"),
    parkedUntil: moment("parked_until"),
    /** How often in a row it was parked without more bytes being complete. */
    parkings: integer("parkings").notNull().default(0),
    createTime: moment("create_time").notNull().defaultNow(),
    updateTime: moment("update_time").notNull().defaultNow(),
    endTime: moment("end_time"),
  },
  (table) => [
    uniqueIndex("downloads_live_identity")
      .on(table.modelId, table.identity)
      .where(sql`${table.state} in ${LIVE_STATES}`),
    index("downloads_by_create_time").on(table.createTime, table.id),
    index("downloads_by_model").on(table.modelId),
    index("downloads_by_model_ignoring_case").on(sql`lower(${table.modelId})`, table.createTime, table.id),
    index("downloads_to_claim")
      .on(table.priority.desc().nullsFirst(), table.createTime, table.id)
      .where(sql`${table.state} in ${LIVE_STATES}`),
  ],
);

/** How far live downloads are, for other processes. Unlogged: a crash of the database may forget it. */
export const downloadProgress = pgTable("download_progress", {
  downloadId: uuid("download_id")
    .primaryKey()
    .references(() => downloads.id, { onDelete: "cascade" }),
  counters: jsonb("counters").$type<Counters>().notNull(),
  files: jsonb("files").$type<readonly FileProgress[]>().notNull(),
});

/** Blobs that a live download counts on; a collector leaves them alone. */
export const blobReferences = pgTable(
  "blob_references",
  {
    downloadId: uuid("download_id")
      .notNull()
      .references(() => downloads.id, { onDelete: "cascade" }),
    digest: text("digest")
      .$type<Digest>()
      .notNull()
      .references(() => blobs.digest),
  },
  (table) => [
    primaryKey({ columns: [table.downloadId, table.digest] }),
    index("blob_references_by_digest").on(table.digest),
  ],
);
