import type { InferSelectModel } from "drizzle-orm";
import type { Assignment } from "../domain/assignment.ts";
import type { assignments } from "./schema/workers.ts";

export type AssignmentRow = InferSelectModel<typeof assignments>;

/** The assignment of a row. */
export function toAssignment({ reported: _, totalBytes, ...row }: AssignmentRow): Assignment {
  return { ...row, totalBytes: totalBytes ?? undefined };
}
