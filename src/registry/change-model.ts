import { and, eq, sql } from "drizzle-orm";
import { MODEL_TRANSITIONS, type Model, type ModelStatus } from "../domain/model.ts";
import { assertTransition } from "../domain/transitions.ts";
import type { Transaction } from "./database.ts";
import { isLive } from "./download-rows.ts";
import type { Changes } from "./events.ts";
import { type ModelRow, readModel } from "./model-rows.ts";
import { clock } from "./rows.ts";
import { downloads } from "./schema/downloads.ts";
import { models, versions } from "./schema/models.ts";

/** What may be written to a model that exists. */
export type ModelColumns = Partial<
  Pick<ModelRow, "displayName" | "description" | "labels" | "source" | "status" | "lastVersion">
>;

/**
 * Writes a change of a locked model, or marks that something which belongs to it has changed, and adds the event.
 * This is the only writer of a model's status; STATE_INVALID for a change that the table of transitions does not know.
 */
export async function changeModel(
  tx: Transaction,
  changes: Changes,
  model: ModelRow,
  columns: ModelColumns = {},
): Promise<Model> {
  if (columns.status !== undefined && columns.status !== model.status) {
    assertTransition(MODEL_TRANSITIONS, `model '${model.id}'`, model.status, columns.status);
  }
  await tx
    .update(models)
    .set({ ...columns, revision: sql`${models.revision} + 1`, updateTime: clock })
    .where(eq(models.id, model.id));
  const changed = await readModel(tx, model.id);
  changes.add("UPDATED", "model", changed);
  return changed;
}

/** The status that a locked model has by its versions and downloads; `otherwise` if it has neither a version nor a live download. */
export async function statusOf(
  tx: Transaction,
  modelId: string,
  otherwise: Extract<ModelStatus, "REGISTERED" | "FAILED">,
): Promise<ModelStatus> {
  const [version] = await tx.select({ one: sql`1` }).from(versions).where(eq(versions.modelId, modelId)).limit(1);
  if (version !== undefined) return "AVAILABLE";
  const [download] = await tx
    .select({ one: sql`1` })
    .from(downloads)
    .where(and(eq(downloads.modelId, modelId), isLive))
    .limit(1);
  return download === undefined ? otherwise : "DOWNLOADING";
}

/** Gives a locked model the status that it has by its versions and downloads, if that is another one. */
export async function settleModel(
  tx: Transaction,
  changes: Changes,
  model: ModelRow,
  otherwise: Extract<ModelStatus, "REGISTERED" | "FAILED">,
): Promise<void> {
  const status = await statusOf(tx, model.id, otherwise);
  if (status !== model.status) await changeModel(tx, changes, model, { status });
}
