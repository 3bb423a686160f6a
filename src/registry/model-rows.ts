import { eq, getTableColumns, type InferSelectModel, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import type { Model } from "../domain/model.ts";
import type { Executor, Transaction } from "./database.ts";
import { etagOf } from "./rows.ts";
import { models } from "./schema/models.ts";

/** A model's own row, without what is gathered from other tables. */
export type ModelRow = InferSelectModel<typeof models>;

interface AliasJson {
  readonly alias: string;
  readonly version: number;
  readonly updateTime: string;
}

/** All that a model is made of, in one query however many models it reads. */
export const modelFields = {
  ...getTableColumns(models),
  latestVersion: sql<number | null>`(select max(version) from versions where model_id = models.id)`,
  versionCount: sql`(select count(*) from versions where model_id = models.id)`.mapWith(Number),
  aliases: sql<readonly AliasJson[]>`(
    select coalesce(
      jsonb_agg(jsonb_build_object('alias', alias, 'version', version, 'updateTime', update_time) order by alias), '[]')
    from aliases where model_id = models.id)`,
};

type ModelFields = ModelRow &
  Pick<Model, "versionCount"> & { latestVersion: number | null; aliases: readonly AliasJson[] };

/** The model of a row of {@link modelFields}. */
export function toModel(row: ModelFields): Model {
  return {
    id: row.id,
    type: row.type,
    displayName: row.displayName,
    description: row.description,
    labels: row.labels,
    baseModelId: row.baseModelId,
    source: row.source,
    status: row.status,
    latestVersion: row.latestVersion ?? undefined,
    versionCount: row.versionCount,
    aliases: row.aliases.map(({ alias, version, updateTime }) => ({
      modelId: row.id,
      alias,
      version,
      updateTime: new Date(updateTime),
    })),
    createTime: row.createTime,
    updateTime: row.updateTime,
    etag: etagOf(row),
  };
}

/** The condition that a row is the model of this id, ignoring case. */
export function isModel(modelId: string) {
  return eq(sql`lower(${models.id})`, modelId.toLowerCase());
}

/** MODEL_NOT_FOUND. */
export function modelNotFound(modelId: string): DomainError {
  return new DomainError("MODEL_NOT_FOUND", `there is no model '${modelId}'`, { metadata: { model_id: modelId } });
}

/** A model as it is for the executor; MODEL_NOT_FOUND. */
export async function readModel(executor: Executor, modelId: string): Promise<Model> {
  const [row] = await executor.select(modelFields).from(models).where(isModel(modelId));
  if (row === undefined) throw modelNotFound(modelId);
  return toModel(row);
}

/**
 * Locks a model's row for the rest of the transaction; MODEL_NOT_FOUND.
 *
 * Whoever needs several locks takes them in one order: model, download, blobs; model, worker's presence, worker, assignments.
 */
export async function lockModel(
  tx: Transaction,
  modelId: string,
  strength: "update" | "share" = "update",
): Promise<ModelRow> {
  const [row] = await tx.select().from(models).where(isModel(modelId)).for(strength);
  if (row === undefined) throw modelNotFound(modelId);
  return row;
}
