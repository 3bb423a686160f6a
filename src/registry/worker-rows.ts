import { and, eq, getTableColumns, type InferSelectModel, ne, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import type { Worker, WorkerStatus } from "../domain/worker.ts";
import type { Executor, Transaction } from "./database.ts";
import { clock, etagOf, textArray } from "./rows.ts";
import { workerPresence, workers } from "./schema/workers.ts";

export type WorkerRow = InferSelectModel<typeof workers>;

/** All that a worker is made of; to be read from {@link workers} joined with {@link workerPresence}. */
export const workerFields = {
  ...getTableColumns(workers),
  load: workerPresence.load,
  lastSeenTime: workerPresence.lastSeenTime,
  leaseExpireTime: workerPresence.leaseExpireTime,
  assignmentCount: sql`(select count(*) from assignments where worker_id = workers.id)`.mapWith(Number),
};

type WorkerFields = WorkerRow &
  Pick<InferSelectModel<typeof workerPresence>, "load" | "lastSeenTime" | "leaseExpireTime"> &
  Pick<Worker, "assignmentCount">;

/** The worker of a row of {@link workerFields}. */
export function toWorker(row: WorkerFields): Worker {
  return {
    id: row.id,
    address: row.address,
    labels: row.labels,
    capacity: row.capacity,
    status: row.status,
    cordoned: row.cordoned,
    draining: row.draining,
    load: row.load ?? undefined,
    assignmentCount: row.assignmentCount,
    createTime: row.createTime,
    updateTime: row.updateTime,
    lastSeenTime: row.lastSeenTime,
    leaseExpireTime: row.leaseExpireTime,
    etag: etagOf(row),
  };
}

/** The condition that a row is the worker of this id, ignoring case. */
export function isWorker(workerId: string) {
  return eq(sql`lower(${workers.id})`, workerId.toLowerCase());
}

/** WORKER_NOT_FOUND. */
export function workerNotFound(workerId: string): DomainError {
  return new DomainError("WORKER_NOT_FOUND", `there is no worker '${workerId}'`, { metadata: { worker_id: workerId } });
}

/** Workers as they are for the executor, in no order. */
export async function readWorkers(executor: Executor, ids: readonly string[]): Promise<Worker[]> {
  if (ids.length === 0) return [];
  const rows = await executor
    .select(workerFields)
    .from(workers)
    .innerJoin(workerPresence, eq(workerPresence.workerId, workers.id))
    .where(sql`${workers.id} = any(${textArray(ids)})`);
  return rows.map(toWorker);
}

/** A worker as it is for the executor, by its exact id; WORKER_NOT_FOUND. */
export async function readWorker(executor: Executor, id: string): Promise<Worker> {
  const [worker] = await readWorkers(executor, [id]);
  if (worker === undefined) throw workerNotFound(id);
  return worker;
}

/** Locks a worker's row for the rest of the transaction; WORKER_NOT_FOUND. The order of locks is told at `lockModel`. */
export async function lockWorker(tx: Transaction, workerId: string): Promise<WorkerRow> {
  const [row] = await tx.select().from(workers).where(isWorker(workerId)).for("update");
  if (row === undefined) throw workerNotFound(workerId);
  return row;
}

/** Locks what heartbeats write of a worker; undefined if there is no such worker. */
export async function lockPresence(tx: Transaction, workerId: string): Promise<{ workerId: string } | undefined> {
  const [row] = await tx
    .select({ workerId: workerPresence.workerId })
    .from(workerPresence)
    .innerJoin(workers, eq(workers.id, workerPresence.workerId))
    .where(isWorker(workerId))
    .for("update", { of: workerPresence });
  return row;
}

/**
 * Writes the status of some workers whose presence is locked, and raises their etags. Answers those that had another one,
 * as they are then.
 */
export async function setStatus(tx: Transaction, ids: readonly string[], status: WorkerStatus): Promise<Worker[]> {
  if (ids.length === 0) return [];
  const changed = await tx
    .update(workers)
    .set({ status, revision: sql`${workers.revision} + 1`, updateTime: clock })
    .where(and(sql`${workers.id} = any(${textArray(ids)})`, ne(workers.status, status)))
    .returning({ id: workers.id });
  return await readWorkers(
    tx,
    changed.map(({ id }) => id),
  );
}
