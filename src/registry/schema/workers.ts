import { sql } from "drizzle-orm";
import { boolean, foreignKey, index, integer, jsonb, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import type { AssignmentState, AssignmentTarget, Launch } from "../../domain/assignment.ts";
import type { Labels } from "../../domain/model.ts";
import type { WorkerCapacity, WorkerLoad, WorkerStatus } from "../../domain/worker.ts";
import { identifier, moment, wholeNumber } from "./columns.ts";
import { versions } from "./models.ts";

export const workers = pgTable(
  "workers",
  {
    id: identifier("id").primaryKey(),
    address: text("address").notNull(),
    labels: jsonb("labels").$type<Labels>().notNull(),
    capacity: jsonb("capacity").$type<WorkerCapacity>().notNull(),
    /** Written by registrations, heartbeats and the sweeper alone. */
    status: text("status").$type<WorkerStatus>().notNull(),
    cordoned: boolean("cordoned").notNull().default(false),
    draining: boolean("draining").notNull().default(false),
    revision: wholeNumber("revision").notNull().default(1),
    createTime: moment("create_time").notNull().defaultNow(),
    updateTime: moment("update_time").notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("workers_id_ignoring_case").on(sql`lower(${table.id})`),
    index("workers_by_labels").using("gin", table.labels),
  ],
);

/** What every heartbeat writes: narrow, without indexes beside its key, and no part of a worker's etag. */
export const workerPresence = pgTable("worker_presence", {
  workerId: identifier("worker_id")
    .primaryKey()
    .references(() => workers.id),
  /** SHA-256 of the newest session's token. */
  sessionHash: text("session_hash").notNull(),
  lastSeenTime: moment("last_seen_time").notNull(),
  leaseExpireTime: moment("lease_expire_time").notNull(),
  /** Set by the sweeper when the lease ran out: the session is over, and only a new registration brings another. */
  expired: boolean("expired").notNull().default(false),
  load: jsonb("load").$type<WorkerLoad>(),
});

export const assignments = pgTable(
  "assignments",
  {
    id: uuid("id").primaryKey(),
    workerId: identifier("worker_id")
      .notNull()
      .references(() => workers.id),
    modelId: identifier("model_id").notNull(),
    version: integer("version").notNull(),
    // What is wanted.
    target: text("target").$type<AssignmentTarget>().notNull(),
    launch: jsonb("launch").$type<Launch>().notNull(),
    deploymentId: identifier("deployment_id").notNull().default(""),
    // What the worker says of it; REMOVING alone is the manager's.
    state: text("state").$type<AssignmentState>().notNull().default("PENDING"),
    message: text("message").notNull().default(""),
    address: text("address").notNull().default(""),
    gpuIndices: jsonb("gpu_indices").$type<readonly number[]>().notNull().default([]),
    localPath: text("local_path").notNull().default(""),
    completedBytes: wholeNumber("completed_bytes").notNull().default(sql`0`),
    totalBytes: wholeNumber("total_bytes"),
    /** Whether the worker's newest heartbeat named it. */
    reported: boolean("reported").notNull().default(false),
    createTime: moment("create_time").notNull().defaultNow(),
    updateTime: moment("update_time").notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("assignments_worker_version").on(table.workerId, table.modelId, table.version),
    foreignKey({
      name: "assignments_version",
      columns: [table.modelId, table.version],
      foreignColumns: [versions.modelId, versions.version],
    }),
    index("assignments_by_version").on(table.modelId, table.version),
  ],
);
