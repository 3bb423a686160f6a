import { eq, inArray } from "drizzle-orm";
import { WORKER_FILTER_FIELDS } from "../../domain/parse-filter.ts";
import type { Named } from "../../domain/ports/feeds.ts";
import { toAssignment } from "../assignment-rows.ts";
import { assignments, workerPresence, workers } from "../schema/workers.ts";
import { toWorker, workerFields } from "../worker-rows.ts";
import { WORKER_FILTER_COLUMNS } from "../workers.ts";
import type { Subject } from "./subject.ts";

/** Workers with their assignments. */
export const workersSubject: Subject = {
  root: "worker",
  parts: ["assignment"],
  filterFields: WORKER_FILTER_FIELDS,
  filterColumns: WORKER_FILTER_COLUMNS,
  rootOf(change) {
    if (change.noun === "worker") return change.resource.id;
    return change.noun === "assignment" ? change.resource.workerId : undefined;
  },
  isRoot: (id) => eq(workers.id, id),
  async readRootIds(tx, matches) {
    return (await tx.select({ id: workers.id }).from(workers).where(matches)).map(({ id }) => id);
  },
  async readRoots(tx, matches) {
    const rows = await tx
      .select(workerFields)
      .from(workers)
      .innerJoin(workerPresence, eq(workerPresence.workerId, workers.id))
      .where(matches)
      .orderBy(workers.id);
    return rows.map((row): Named => ({ noun: "worker", resource: toWorker(row) }));
  },
  async readParts(tx, matches) {
    const roots = tx.select({ id: workers.id }).from(workers).where(matches);
    const rows = await tx
      .select()
      .from(assignments)
      .where(inArray(assignments.workerId, roots))
      .orderBy(assignments.id);
    return rows.map((row): Named => ({ noun: "assignment", resource: toAssignment(row) }));
  },
};
