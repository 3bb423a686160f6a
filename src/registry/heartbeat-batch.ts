import { sql } from "drizzle-orm";
import type { AssignmentReport } from "../domain/assignment.ts";
import { DomainError } from "../domain/errors.ts";
import { BUSY_UTILIZATION, type Worker, type WorkerLoad, type WorkerStatus } from "../domain/worker.ts";
import { applyReports } from "./assignment-reports.ts";
import type { Database, Transaction } from "./database.ts";
import { recordset, textArray } from "./rows.ts";
import { workers } from "./schema/workers.ts";
import { readWorkers, setStatus, workerNotFound } from "./worker-rows.ts";

/** A heartbeat whose token is hashed already. */
export interface Beat {
  readonly workerId: string;
  readonly sessionHash: string;
  readonly load?: WorkerLoad;
  readonly assignments: readonly AssignmentReport[];
}

interface Renewed {
  /** The index of the heartbeat. */
  readonly position: number;
  readonly id: string;
  readonly status: WorkerStatus;
  readonly utilization: number | null;
}

/**
 * Writes heartbeats of different workers in one transaction. Answers for each the worker as it is then, or WORKER_NOT_FOUND
 * or SESSION_STALE; a lease that ran out counts as long as no sweep has seen it.
 */
export async function writeBeats(
  database: Database,
  leaseMs: number,
  beats: readonly Beat[],
): Promise<(Worker | DomainError)[]> {
  return await database.transact(async (tx, changes) => {
    const renewed = await renewLeases(tx, leaseMs, beats);
    for (const status of ["BUSY", "ONLINE"] as const) {
      const turned = renewed.filter((worker) => statusBy(worker) === status && worker.status !== status);
      const ids = turned.map(({ id }) => id);
      for (const worker of await setStatus(tx, ids, status)) changes.add("UPDATED", "worker", worker);
    }
    const reports = new Map(renewed.map(({ id, position }) => [id, beats[position]?.assignments ?? []]));
    await applyReports(tx, changes, reports);

    const byId = new Map((await readWorkers(tx, [...reports.keys()])).map((worker) => [worker.id, worker]));
    const answers = new Map(renewed.map(({ position, id }) => [position, byId.get(id)]));
    const known = renewed.length < beats.length ? await knownIds(tx, beats) : new Set();
    return beats.map(({ workerId }, index) => {
      const refusal = known.has(workerId.toLowerCase()) ? sessionStale : workerNotFound;
      return answers.get(index) ?? refusal(workerId);
    });
  });
}

function statusBy({ utilization }: Renewed): WorkerStatus {
  return (utilization ?? 0) >= BUSY_UTILIZATION ? "BUSY" : "ONLINE";
}

function sessionStale(workerId: string): DomainError {
  const message = `the session of worker '${workerId}' is over: another one took its place, or its lease ran out; register again`;
  return new DomainError("SESSION_STALE", message, { metadata: { worker_id: workerId } });
}

/** Writes presence alone; rows are locked in the order of their ids, whoever else writes several. */
async function renewLeases(tx: Transaction, leaseMs: number, beats: readonly Beat[]): Promise<readonly Renewed[]> {
  const rows = beats.map(({ workerId, sessionHash, load }, position) => ({
    position,
    id: workerId.toLowerCase(),
    hash: sessionHash,
    load,
  }));
  return await tx.execute<Renewed & Record<string, unknown>>(sql`
    with held as (
      select told.position, told.load, presence.worker_id, workers.status
      from ${recordset(rows, "told", "position integer, id text, hash text, load jsonb")}
      join workers on lower(workers.id) = told.id
      join worker_presence presence on presence.worker_id = workers.id
      where presence.session_hash = told.hash and not presence.expired
      order by presence.worker_id
      for update of presence
    )
    update worker_presence presence
    set last_seen_time = clock_timestamp(),
      lease_expire_time = clock_timestamp() + ${leaseMs}::integer * interval '1 millisecond',
      load = coalesce(held.load, presence.load)
    from held
    where presence.worker_id = held.worker_id
    returning held.position, held.status, presence.worker_id as id,
      (presence.load ->> 'utilization')::double precision as utilization`);
}

async function knownIds(tx: Transaction, beats: readonly Beat[]): Promise<ReadonlySet<string>> {
  const ids = beats.map(({ workerId }) => workerId.toLowerCase());
  const known = await tx
    .select({ id: sql<string>`lower(${workers.id})` })
    .from(workers)
    .where(sql`lower(${workers.id}) = any(${textArray(ids)})`);
  return new Set(known.map(({ id }) => id));
}
