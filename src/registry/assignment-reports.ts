import { isDeepStrictEqual } from "node:util";
import { and, asc, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import { ASSIGNMENT_TRANSITIONS, type AssignmentReport, type AssignmentState } from "../domain/assignment.ts";
import { mayBecome } from "../domain/transitions.ts";
import { type AssignmentRow, toAssignment } from "./assignment-rows.ts";
import type { Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { clock, recordset, textArray } from "./rows.ts";
import { assignments } from "./schema/workers.ts";

/** What a worker says of an assignment, as it is kept. */
type Observed = Pick<
  AssignmentRow,
  "id" | "state" | "message" | "address" | "gpuIndices" | "localPath" | "completedBytes" | "totalBytes" | "reported"
>;

const OBSERVED_COLUMNS = `id uuid, state text, message text, address text, "gpuIndices" jsonb, "localPath" text,
  "completedBytes" bigint, "totalBytes" bigint, reported boolean, visible boolean`;

/**
 * Brings the assignments of some workers to what their heartbeats report, which is taken as complete: what is missing and
 * was there before is gone from the worker. Reports of assignments that are not the worker's are passed over.
 */
export async function applyReports(
  tx: Transaction,
  changes: Changes,
  reports: ReadonlyMap<string, readonly AssignmentReport[]>,
): Promise<void> {
  if (reports.size === 0) return;
  const rows = await tx
    .select()
    .from(assignments)
    .where(sql`${assignments.workerId} = any(${textArray([...reports.keys()])})`);
  const byWorker = new Map(
    [...reports].map(([worker, list]) => [
      worker,
      new Map(list.map((report) => [report.assignmentId.toLowerCase(), report])),
    ]),
  );
  const updates: (Observed & { visible: boolean })[] = [];
  const gone: string[] = [];
  for (const row of rows) {
    const report = byWorker.get(row.workerId)?.get(row.id);
    if (row.state === "REMOVING") {
      if (report === undefined) gone.push(row.id);
      continue;
    }
    const former = observedOf(row);
    const observed = report === undefined ? absent(row) : reported(row, report);
    if (isDeepStrictEqual(observed, former)) continue;
    updates.push({ ...observed, visible: !isDeepStrictEqual(visibleOf(observed), visibleOf(former)) });
  }
  await lockInOrder(tx, [...updates.map(({ id }) => id), ...gone]);
  await writeUpdates(tx, changes, updates);
  await deleteGone(tx, changes, gone);
}

/** Locks what will be written in the order of its ids, as all others do who lock several assignments. */
async function lockInOrder(tx: Transaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await tx
    .select({ id: assignments.id })
    .from(assignments)
    .where(isOneOf(ids))
    .orderBy(asc(assignments.id))
    .for("update");
}

function isOneOf(ids: readonly string[]): SQL {
  return sql`${assignments.id} = any(${textArray(ids)}::uuid[])`;
}

function observedOf(row: AssignmentRow): Observed {
  const { id, state, message, address, gpuIndices, localPath, completedBytes, totalBytes, reported } = row;
  return { id, state, message, address, gpuIndices, localPath, completedBytes, totalBytes, reported };
}

/** What makes an event when it changes; progress does not. */
function visibleOf({ state, message, address, gpuIndices, localPath }: Observed) {
  return { state, message, address, gpuIndices, localPath };
}

function reported(row: AssignmentRow, report: AssignmentReport): Observed {
  return {
    id: row.id,
    state: stateReported(row.state, report.state),
    message: report.message,
    address: report.address,
    gpuIndices: report.gpuIndices,
    localPath: report.localPath,
    completedBytes: report.completedBytes,
    totalBytes: report.totalBytes ?? null,
    reported: true,
  };
}

/** REMOVING is the manager's to say, so that a worker's word for it changes nothing. */
function stateReported(from: AssignmentState, to: AssignmentState): AssignmentState {
  return to !== "REMOVING" && mayBecome(ASSIGNMENT_TRANSITIONS, from, to) ? to : from;
}

/** A worker that never took it up has nothing to lose; one that did has to begin again. */
function absent(row: AssignmentRow): Observed {
  if (!row.reported) return observedOf(row);
  return {
    id: row.id,
    state: "PENDING",
    message: "",
    address: "",
    gpuIndices: [],
    localPath: "",
    completedBytes: 0,
    totalBytes: null,
    reported: false,
  };
}

async function writeUpdates(
  tx: Transaction,
  changes: Changes,
  updates: readonly (Observed & { visible: boolean })[],
): Promise<void> {
  if (updates.length === 0) return;
  const written = await tx
    .update(assignments)
    .set({
      state: sql`told.state`,
      message: sql`told.message`,
      address: sql`told.address`,
      gpuIndices: sql`told."gpuIndices"`,
      localPath: sql`told."localPath"`,
      completedBytes: sql`told."completedBytes"`,
      totalBytes: sql`told."totalBytes"`,
      reported: sql`told.reported`,
      updateTime: sql`case when told.visible then ${clock} else ${assignments.updateTime} end`,
    })
    .from(recordset(updates, "told", OBSERVED_COLUMNS))
    // What was taken back since it was read stays so.
    .where(and(sql`${assignments.id} = told.id`, sql`${assignments.state} <> 'REMOVING'`))
    .returning({ ...getTableColumns(assignments), visible: sql<boolean>`told.visible` });
  for (const { visible, ...row } of written) {
    if (visible) changes.add("UPDATED", "assignment", toAssignment(row));
  }
}

async function deleteGone(tx: Transaction, changes: Changes, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const deleted = await tx
    .delete(assignments)
    .where(and(isOneOf(ids), eq(assignments.state, "REMOVING")))
    .returning();
  for (const row of deleted) changes.add("DELETED", "assignment", toAssignment(row));
}
