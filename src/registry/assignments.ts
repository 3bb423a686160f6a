import { isDeepStrictEqual } from "node:util";
import { and, asc, eq, type SQL, sql } from "drizzle-orm";
import { validate as isUuid, v7 as uuidv7 } from "uuid";
import { ASSIGNMENT_TRANSITIONS, type Assignment } from "../domain/assignment.ts";
import { DomainError } from "../domain/errors.ts";
import type { AssignmentSelector, NewAssignment } from "../domain/ports/workers.ts";
import { assertTransition } from "../domain/transitions.ts";
import { type AssignmentRow, toAssignment } from "./assignment-rows.ts";
import type { Database, Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { noteUse } from "./last-used.ts";
import { isModel, lockModel } from "./model-rows.ts";
import { clock } from "./rows.ts";
import { assignments, workers } from "./schema/workers.ts";
import { findVersion } from "./version-rows.ts";
import { isWorker, lockWorker, type WorkerRow, workerNotFound } from "./worker-rows.ts";

/** See `Workers.assign`. OPERATION_CONFLICT while the worker still lets go of the same version. */
export async function assign(database: Database, request: NewAssignment): Promise<Assignment> {
  const { ref, workerId, target, launch, dryRun } = request;
  return await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, ref.modelId, "share");
    const version = await findVersion(tx, { ...ref, modelId: model.id });
    const worker = await lockWorker(tx, workerId);
    assertTakesNew(worker);
    const key = { workerId: worker.id, modelId: model.id, version };
    const wanted = { target, launch };

    const [former] = await tx
      .select()
      .from(assignments)
      .where(
        and(eq(assignments.workerId, worker.id), eq(assignments.modelId, model.id), eq(assignments.version, version)),
      )
      .for("update");
    if (former === undefined) {
      if (dryRun) return proposal(key, wanted);
      await noteUse(tx, model.id, version);
      return await insertAssignment(tx, changes, { ...key, ...wanted });
    }
    if (former.state === "REMOVING") {
      throw new DomainError("OPERATION_CONFLICT", `worker '${worker.id}' is still removing this version: try again`, {
        metadata: { assignment_id: former.id },
      });
    }
    if (former.target === target && isDeepStrictEqual(former.launch, launch)) return toAssignment(former);
    if (dryRun) return { ...toAssignment(former), ...wanted };
    const [changed = former] = await tx
      .update(assignments)
      .set({ ...wanted, updateTime: clock })
      .where(eq(assignments.id, former.id))
      .returning();
    const assignment = toAssignment(changed);
    changes.add("UPDATED", "assignment", assignment);
    return assignment;
  });
}

function assertTakesNew(worker: WorkerRow): void {
  const reason = worker.status === "OFFLINE" ? "OFFLINE" : worker.cordoned ? "cordoned" : undefined;
  if (reason === undefined) return;
  throw new DomainError("STATE_INVALID", `worker '${worker.id}' is ${reason} and takes nothing new`, {
    metadata: { worker_id: worker.id },
  });
}

type Key = Pick<Assignment, "workerId" | "modelId" | "version">;
type Wanted = Pick<Assignment, "target" | "launch">;

async function insertAssignment(tx: Transaction, changes: Changes, values: Key & Wanted): Promise<Assignment> {
  const id = uuidv7();
  const rows = await tx
    .insert(assignments)
    .values({ id, ...values })
    .returning();
  const [assignment] = rows.map(toAssignment);
  if (assignment === undefined) throw assignmentNotFound({ assignmentId: id });
  changes.add("CREATED", "assignment", assignment);
  return assignment;
}

/** What a dry run answers where nothing exists yet: it has no id, and the times are of now. */
function proposal(key: Key, wanted: Wanted): Assignment {
  const now = new Date();
  return {
    id: "",
    ...key,
    ...wanted,
    deploymentId: "",
    state: "PENDING",
    message: "",
    address: "",
    gpuIndices: [],
    localPath: "",
    completedBytes: 0,
    createTime: now,
    updateTime: now,
  };
}

/** See `Workers.unassign`. What the worker never took up is gone at once. */
export async function unassign(database: Database, selector: AssignmentSelector): Promise<void> {
  await database.transact(async (tx, changes) => {
    const selected = await tx
      .select()
      .from(assignments)
      .where(isSelected(selector))
      .orderBy(asc(assignments.id))
      .for("update");
    if (selected.length === 0) throw assignmentNotFound(selector);
    for (const row of selected) await takeBack(tx, changes, row);
  });
}

function isSelected(selector: AssignmentSelector): SQL | undefined {
  if ("assignmentId" in selector) {
    return isUuid(selector.assignmentId) ? eq(assignments.id, selector.assignmentId) : sql`false`;
  }
  // By exact ids, which have an index.
  return and(
    sql`${assignments.workerId} = (select id from workers where ${isWorker(selector.workerId)})`,
    sql`${assignments.modelId} = (select id from models where ${isModel(selector.modelId)})`,
  );
}

function assignmentNotFound(selector: AssignmentSelector): DomainError {
  if ("assignmentId" in selector) {
    return new DomainError("ASSIGNMENT_NOT_FOUND", `there is no assignment '${selector.assignmentId}'`, {
      metadata: { assignment_id: selector.assignmentId },
    });
  }
  const { modelId, workerId } = selector;
  return new DomainError("ASSIGNMENT_NOT_FOUND", `model '${modelId}' is not assigned to the worker '${workerId}'`, {
    metadata: { model_id: modelId, worker_id: workerId },
  });
}

async function takeBack(tx: Transaction, changes: Changes, row: AssignmentRow): Promise<void> {
  if (row.state === "REMOVING") return;
  if (row.state === "PENDING" && !row.reported) {
    await tx.delete(assignments).where(eq(assignments.id, row.id));
    changes.add("DELETED", "assignment", toAssignment(row));
    return;
  }
  assertTransition(ASSIGNMENT_TRANSITIONS, `assignment '${row.id}'`, row.state, "REMOVING");
  const [changed = row] = await tx
    .update(assignments)
    .set({ state: "REMOVING", updateTime: clock })
    .where(eq(assignments.id, row.id))
    .returning();
  changes.add("UPDATED", "assignment", toAssignment(changed));
}

/** See `Workers.listAssignments`. */
export async function listAssignments(database: Database, workerId: string): Promise<readonly Assignment[]> {
  const rows = await database.read((db) =>
    db
      .select({ worker: { id: workers.id }, assignment: assignments })
      .from(workers)
      .leftJoin(assignments, eq(assignments.workerId, workers.id))
      .where(isWorker(workerId))
      .orderBy(asc(assignments.createTime), asc(assignments.id)),
  );
  if (rows.length === 0) throw workerNotFound(workerId);
  return rows.flatMap(({ assignment }) => (assignment === null ? [] : [toAssignment(assignment)]));
}
