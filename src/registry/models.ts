import { isDeepStrictEqual } from "node:util";
import { and, eq, getTableColumns, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import type { Model, ModelChanges, Version } from "../domain/model.ts";
import type { ModelRef } from "../domain/model-ref.ts";
import type { ListRequest, Page } from "../domain/page.ts";
import type { ModelOrder, Models } from "../domain/ports/models.ts";
import { aliasNotFound } from "./alias-rows.ts";
import { deleteAlias, setAlias } from "./aliases.ts";
import { changeModel } from "./change-model.ts";
import { createModel } from "./create-model.ts";
import type { Database, Transaction } from "./database.ts";
import { deleteModel } from "./delete-model.ts";
import { isLive } from "./download-rows.ts";
import { compileFilter, type FilterColumns } from "./filter-sql.ts";
import type { ReadNotes } from "./last-used.ts";
import { lockModel, modelFields, modelNotFound, readModel, toModel } from "./model-rows.ts";
import { type Keyset, readPage } from "./pages.ts";
import { assertEtag } from "./rows.ts";
import { downloads } from "./schema/downloads.ts";
import { models, versions } from "./schema/models.ts";
import { toVersion, versionFilesField, versionNotFound } from "./version-rows.ts";
import { createVersion, deleteVersion, listVersions, updateVersion } from "./versions.ts";

/** What models can be filtered by. */
export const MODEL_FILTER_COLUMNS: FilterColumns = {
  id: { type: "id", column: models.id },
  type: { type: "value", column: models.type },
  status: { type: "value", column: models.status },
  labels: { type: "map", column: models.labels },
  create_time: { type: "time", column: models.createTime },
  update_time: { type: "time", column: models.updateTime },
};

const ORDERS: Readonly<Record<ModelOrder["field"], Keyset["columns"]>> = {
  id: [models.id],
  create_time: [models.createTime, models.id],
  update_time: [models.updateTime, models.id],
};

/** The models, versions and aliases of a database; `reads` hears of each version that is read. */
export function createModels(database: Database, reads?: Pick<ReadNotes, "note">): Models {
  const getModel = prepareGet(database);
  const resolveModel = prepareResolve(database);

  async function resolve(ref: ModelRef): Promise<{ model: Model; version?: Version }> {
    const { modelId, version, alias } = ref;
    const [row] = await database.read(() =>
      resolveModel.execute({
        id: modelId.toLowerCase(),
        version: version ?? null,
        alias: alias?.toLowerCase() ?? null,
      }),
    );
    if (row === undefined) throw modelNotFound(modelId);
    const model = toModel(row.model);
    if (row.version !== null) {
      const found = toVersion(row.version, row.files ?? []);
      reads?.note(found);
      return { model, version: found };
    }
    if (alias !== undefined) throw aliasNotFound(model.id, alias);
    if (version !== undefined) throw versionNotFound(model.id, version);
    return { model };
  }

  return {
    create: (model, options) => createModel(database, model, options),
    async get(modelId) {
      const [row] = await database.read(() => getModel.execute({ id: modelId.toLowerCase() }));
      if (row === undefined) throw modelNotFound(modelId);
      return toModel(row);
    },
    resolve,
    list: (request) => listModels(database, request),
    update: (modelId, changes, etag) => updateModel(database, modelId, changes, etag),
    delete: (modelId, options) => deleteModel(database, modelId, options),
    listVersions: (modelId, request) => listVersions(database, modelId, request),
    async getVersion(ref) {
      const { model, version } = await resolve(ref);
      if (version === undefined) throw versionNotFound(model.id);
      return version;
    },
    createVersion: (modelId, version) => createVersion(database, modelId, version),
    updateVersion: (modelId, version, changes, etag) => updateVersion(database, modelId, version, changes, etag),
    deleteVersion: (modelId, version, etag) => deleteVersion(database, modelId, version, etag),
    setAlias: (modelId, alias, version) => setAlias(database, modelId, alias, version),
    deleteAlias: (modelId, alias) => deleteAlias(database, modelId, alias),
  };
}

const isNamed = eq(sql`lower(${models.id})`, sql.placeholder("id"));

function prepareGet(database: Database) {
  return database.queries.select(modelFields).from(models).where(isNamed).prepare("get_model");
}

/** Model, version and files in one row. The version is the one with the number, else the alias's, else the newest. */
function prepareResolve(database: Database) {
  const alias = sql`${sql.placeholder("alias")}::text`;
  const wanted = sql`case
    when ${alias} is null then coalesce(
      ${sql.placeholder("version")}::integer, (select max(version) from versions where model_id = models.id))
    else (select version from aliases where model_id = models.id and lower(alias) = ${alias}) end`;
  return database.queries
    .select({ model: modelFields, version: getTableColumns(versions), files: versionFilesField })
    .from(models)
    .leftJoin(versions, and(eq(versions.modelId, models.id), eq(versions.version, wanted)))
    .where(isNamed)
    .prepare("resolve_model");
}

async function listModels(database: Database, request: ListRequest & { order: ModelOrder }): Promise<Page<Model>> {
  const matches = compileFilter(request.filter, MODEL_FILTER_COLUMNS);
  const { field, descending } = request.order;
  const page = await readPage(database, request, {
    identity: ["models", request.filter ?? null, field, descending],
    keyset: { columns: ORDERS[field], descending },
    rows: (executor, { after, order, limit }) =>
      executor.select(modelFields).from(models).where(and(matches, after)).orderBy(order).limit(limit),
    keyOf: (row) => {
      if (field === "id") return [row.id];
      return [field === "create_time" ? row.createTime : row.updateTime, row.id];
    },
    count: async (executor) => ({ totalSize: await executor.$count(models, matches) }),
  });
  return { ...page, items: page.items.map(toModel) };
}

async function updateModel(database: Database, modelId: string, wish: ModelChanges, etag: string): Promise<Model> {
  return await database.transact(async (tx, changes) => {
    const row = await lockModel(tx, modelId);
    assertEtag(`model '${row.id}'`, row, etag);
    const wanted = {
      displayName: wish.displayName ?? row.displayName,
      description: wish.description ?? row.description,
      labels: wish.labels ?? row.labels,
      source: wish.source ?? row.source,
    };
    if (isDeepStrictEqual({ ...row, ...wanted }, row)) return await readModel(tx, row.id);
    if (!isDeepStrictEqual(wanted.source, row.source)) await assertNoDownload(tx, row.id);
    return await changeModel(tx, changes, row, wanted);
  });
}

async function assertNoDownload(tx: Transaction, modelId: string): Promise<void> {
  const [live] = await tx
    .select({ id: downloads.id })
    .from(downloads)
    .where(and(eq(downloads.modelId, modelId), isLive))
    .limit(1);
  if (live !== undefined) {
    throw new DomainError("OPERATION_CONFLICT", `the source of model '${modelId}' cannot change during a download`, {
      metadata: { download_id: live.id },
    });
  }
}
