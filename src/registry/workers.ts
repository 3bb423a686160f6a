import { createHash, randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { and, asc, eq, ne, sql } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";
import type { ListRequest, Page } from "../domain/page.ts";
import type { Workers } from "../domain/ports/workers.ts";
import type { NewWorker, Worker, WorkerChanges } from "../domain/worker.ts";
import { toAssignment } from "./assignment-rows.ts";
import { assign, listAssignments, unassign } from "./assignments.ts";
import type { Database } from "./database.ts";
import { compileFilter, type FilterColumns } from "./filter-sql.ts";
import { Heartbeats } from "./heartbeats.ts";
import { readPage } from "./pages.ts";
import { assertEtag, clock } from "./rows.ts";
import { assignments, workerPresence, workers } from "./schema/workers.ts";
import { lockPresence, lockWorker, readWorker, toWorker, workerFields, workerNotFound } from "./worker-rows.ts";

/** What workers can be filtered by. */
export const WORKER_FILTER_COLUMNS: FilterColumns = {
  id: { type: "id", column: workers.id },
  status: { type: "value", column: workers.status },
  cordoned: { type: "value", column: workers.cordoned },
  draining: { type: "value", column: workers.draining },
  labels: { type: "map", column: workers.labels },
  create_time: { type: "time", column: workers.createTime },
  update_time: { type: "time", column: workers.updateTime },
};

/** The workers and assignments of a database. A worker is taken to be alive for `leaseMs` after each heartbeat. */
export function createWorkers(database: Database, leaseMs: number): Workers {
  const heartbeats = new Heartbeats(database, leaseMs);
  const getWorker = database.queries
    .select(workerFields)
    .from(workers)
    .innerJoin(workerPresence, eq(workerPresence.workerId, workers.id))
    .where(eq(sql`lower(${workers.id})`, sql.placeholder("id")))
    .prepare("get_worker");
  return {
    register: (worker) => register(database, leaseMs, worker),
    async heartbeat({ sessionToken, ...heartbeat }) {
      const worker = await heartbeats.write({ ...heartbeat, sessionHash: hashOf(sessionToken) });
      return { worker, leaseMs };
    },
    async get(workerId) {
      const [row] = await database.read(() => getWorker.execute({ id: workerId.toLowerCase() }));
      if (row === undefined) throw workerNotFound(workerId);
      return toWorker(row);
    },
    list: (request) => list(database, request),
    update: (workerId, changes, etag) => update(database, workerId, changes, etag),
    delete: (workerId) => remove(database, workerId),
    assign: (request) => assign(database, request),
    unassign: (selector) => unassign(database, selector),
    listAssignments: (workerId) => listAssignments(database, workerId),
  };
}

/** Tokens are random and long, so that a plain hash keeps them as well as a slow one would. */
function hashOf(sessionToken: string): string {
  return createHash("sha256").update(sessionToken).digest("hex");
}

async function register(
  database: Database,
  leaseMs: number,
  { id, address, labels, capacity }: NewWorker,
): Promise<{ worker: Worker; sessionToken: string; leaseMs: number }> {
  const workerId = id === "" ? `worker-${uuidv7()}` : id;
  const sessionToken = randomBytes(32).toString("base64url");
  const declared = { address, labels, capacity, status: "ONLINE" } as const;
  const session = {
    sessionHash: hashOf(sessionToken),
    lastSeenTime: clock,
    leaseExpireTime: sql`clock_timestamp() + ${leaseMs}::integer * interval '1 millisecond'`,
    expired: false,
    load: null,
  };
  const worker = await database.transact(async (tx, changes) => {
    let known = await lockPresence(tx, workerId);
    if (known === undefined) {
      const inserted = await tx
        .insert(workers)
        .values({ id: workerId, ...declared })
        .onConflictDoNothing()
        .returning({ id: workers.id });
      if (inserted.length > 0) {
        await tx.insert(workerPresence).values({ workerId, ...session });
        const created = await readWorker(tx, workerId);
        changes.add("CREATED", "worker", created);
        return created;
      }
      // Another call registered it in the meantime, and the insert waited for that one's commit.
      known = await lockPresence(tx, workerId);
    }
    if (known === undefined) throw workerNotFound(workerId);
    await tx
      .update(workers)
      .set({ ...declared, revision: sql`${workers.revision} + 1`, updateTime: clock })
      .where(eq(workers.id, known.workerId));
    await tx.update(workerPresence).set(session).where(eq(workerPresence.workerId, known.workerId));
    const registered = await readWorker(tx, known.workerId);
    changes.add("UPDATED", "worker", registered);
    return registered;
  });
  return { worker, sessionToken, leaseMs };
}

async function list(database: Database, request: ListRequest): Promise<Page<Worker> & { onlineCount: number }> {
  const matches = compileFilter(request.filter, WORKER_FILTER_COLUMNS);
  const page = await readPage(database, request, {
    identity: ["workers", request.filter ?? null],
    keyset: { columns: [workers.id], descending: false },
    rows: (executor, { after, order, limit }) =>
      executor
        .select(workerFields)
        .from(workers)
        .innerJoin(workerPresence, eq(workerPresence.workerId, workers.id))
        .where(and(matches, after))
        .orderBy(order)
        .limit(limit),
    keyOf: (row) => [row.id],
    count: async (executor) => ({
      totalSize: await executor.$count(workers, matches),
      onlineCount: await executor.$count(workers, and(matches, ne(workers.status, "OFFLINE"))),
    }),
  });
  return { ...page, items: page.items.map(toWorker) };
}

async function update(database: Database, workerId: string, wish: WorkerChanges, etag: string): Promise<Worker> {
  return await database.transact(async (tx, changes) => {
    const row = await lockWorker(tx, workerId);
    assertEtag(`worker '${row.id}'`, row, etag);
    const cordoned = wish.cordoned ?? row.cordoned;
    const wanted = {
      address: wish.address ?? row.address,
      labels: wish.labels ?? row.labels,
      capacity: wish.capacity ?? row.capacity,
      cordoned,
      // Draining is cordoning and more.
      draining: row.draining && cordoned,
    };
    if (isDeepStrictEqual({ ...row, ...wanted }, row)) return await readWorker(tx, row.id);
    await tx
      .update(workers)
      .set({ ...wanted, revision: sql`${workers.revision} + 1`, updateTime: clock })
      .where(eq(workers.id, row.id));
    const updated = await readWorker(tx, row.id);
    changes.add("UPDATED", "worker", updated);
    return updated;
  });
}

async function remove(database: Database, workerId: string): Promise<void> {
  await database.transact(async (tx, changes) => {
    await lockPresence(tx, workerId);
    const row = await lockWorker(tx, workerId);
    const worker = await readWorker(tx, row.id);
    const ofWorker = eq(assignments.workerId, row.id);
    await tx
      .select({ id: assignments.id })
      .from(assignments)
      .where(ofWorker)
      .orderBy(asc(assignments.id))
      .for("update");
    for (const gone of await tx.delete(assignments).where(ofWorker).returning()) {
      changes.add("DELETED", "assignment", toAssignment(gone));
    }
    await tx.delete(workerPresence).where(eq(workerPresence.workerId, row.id));
    await tx.delete(workers).where(eq(workers.id, row.id));
    changes.add("DELETED", "worker", worker);
  });
}
