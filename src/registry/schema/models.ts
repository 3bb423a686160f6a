import { sql } from "drizzle-orm";
import {
  boolean,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import type { Digest } from "../../domain/digest.ts";
import type { Labels, ModelStatus, ModelType, VersionMetadata } from "../../domain/model.ts";
import type { Source } from "../../domain/source.ts";
import { blobs } from "./blobs.ts";
import { identifier, moment, wholeNumber } from "./columns.ts";

export const models = pgTable(
  "models",
  {
    id: identifier("id").primaryKey(),
    type: text("type").$type<ModelType>().notNull(),
    displayName: text("display_name").notNull(),
    description: text("description").notNull(),
    labels: jsonb("labels").$type<Labels>().notNull(),
    /** Without a foreign key: a base model may be deleted while adapters name it. */
    baseModelId: identifier("base_model_id").notNull(),
    source: jsonb("source").$type<Source>().notNull(),
    status: text("status").$type<ModelStatus>().notNull(),
    /** The highest number that a version ever had; only grows, so that none is used again. */
    lastVersion: integer("last_version").notNull().default(0),
    /** Raised by every change; the etag is made of it. */
    revision: wholeNumber("revision").notNull().default(1),
    createTime: moment("create_time").notNull().defaultNow(),
    updateTime: moment("update_time").notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("models_id_ignoring_case").on(sql`lower(${table.id})`),
    index("models_by_create_time").on(table.createTime, table.id),
    index("models_by_update_time").on(table.updateTime, table.id),
    index("models_by_labels").using("gin", table.labels),
  ],
);

export const versions = pgTable(
  "versions",
  {
    modelId: identifier("model_id")
      .notNull()
      .references(() => models.id),
    version: integer("version").notNull(),
    manifestDigest: text("manifest_digest").$type<Digest>().notNull(),
    resolvedRevision: text("resolved_revision").notNull(),
    totalBytes: wholeNumber("total_bytes").notNull(),
    fileCount: integer("file_count").notNull(),
    metadata: jsonb("metadata").$type<VersionMetadata>().notNull(),
    license: text("license").notNull(),
    pinned: boolean("pinned").notNull().default(false),
    labels: jsonb("labels").$type<Labels>().notNull().default({}),
    revision: wholeNumber("revision").notNull().default(1),
    createTime: moment("create_time").notNull().defaultNow(),
    updateTime: moment("update_time").notNull().defaultNow(),
    /** Paths of its files whose blobs are DAMAGED, sorted; kept here so that reading a version costs nothing more. */
    damagedFiles: jsonb("damaged_files").$type<readonly string[]>().notNull().default([]),
    /** Raised by reads once an hour at most. */
    lastUsedTime: moment("last_used_time").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.modelId, table.version] }),
    uniqueIndex("versions_manifest").on(table.modelId, table.manifestDigest),
    index("versions_damaged").on(table.modelId, table.version).where(sql`${table.damagedFiles} <> '[]'`),
  ],
);

export const versionFiles = pgTable(
  "version_files",
  {
    modelId: identifier("model_id").notNull(),
    version: integer("version").notNull(),
    path: identifier("path").notNull(),
    size: wholeNumber("size").notNull(),
    /** The key that keeps a blob's row for as long as a version names it. */
    digest: text("digest")
      .$type<Digest>()
      .notNull()
      .references(() => blobs.digest),
  },
  (table) => [
    primaryKey({ columns: [table.modelId, table.version, table.path] }),
    foreignKey({
      name: "version_files_version",
      columns: [table.modelId, table.version],
      foreignColumns: [versions.modelId, versions.version],
    }).onDelete("cascade"),
    index("version_files_by_digest").on(table.digest),
  ],
);

export const aliases = pgTable(
  "aliases",
  {
    modelId: identifier("model_id").notNull(),
    alias: identifier("alias").notNull(),
    version: integer("version").notNull(),
    updateTime: moment("update_time").notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.modelId, table.alias] }),
    uniqueIndex("aliases_ignoring_case").on(table.modelId, sql`lower(${table.alias})`),
    foreignKey({
      name: "aliases_version",
      columns: [table.modelId, table.version],
      foreignColumns: [versions.modelId, versions.version],
    }),
    index("aliases_by_version").on(table.modelId, table.version),
  ],
);

/** The first answer to each create that carried a request id, for a day. */
export const createRequests = pgTable(
  "create_requests",
  {
    requestId: text("request_id").primaryKey(),
    /** Hash of what was asked for. */
    requestHash: text("request_hash").notNull(),
    /** The model as it was answered; null only inside of the creating transaction. */
    answer: jsonb("answer").$type<Record<string, unknown>>(),
    createTime: moment("create_time").notNull().defaultNow(),
  },
  (table) => [index("create_requests_by_create_time").on(table.createTime)],
);
