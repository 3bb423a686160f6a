import { isDeepStrictEqual } from "node:util";
import { and, eq, sql } from "drizzle-orm";
import { DomainError } from "../domain/errors.ts";
import type { NewVersion, Version, VersionChanges } from "../domain/model.ts";
import type { Page, PageRequest } from "../domain/page.ts";
import { releaseBlobs } from "./blob-records.ts";
import { assertInStore } from "./blobs.ts";
import { changeModel, statusOf } from "./change-model.ts";
import type { Database, Transaction } from "./database.ts";
import type { Changes } from "./events.ts";
import { findOrMakeVersion } from "./make-version.ts";
import { isModel, lockModel, type ModelRow, modelNotFound } from "./model-rows.ts";
import { readPage } from "./pages.ts";
import { assertEtag, clock } from "./rows.ts";
import { aliases, models, versions } from "./schema/models.ts";
import { assignments } from "./schema/workers.ts";
import { digestsOf, lockVersion, toVersion, type VersionRow } from "./version-rows.ts";

/** See `Models.listVersions`. */
export async function listVersions(database: Database, modelId: string, request: PageRequest): Promise<Page<Version>> {
  const [model] = await database.read((db) => db.select({ id: models.id }).from(models).where(isModel(modelId)));
  if (model === undefined) throw modelNotFound(modelId);
  const ofModel = eq(versions.modelId, model.id);
  const page = await readPage(database, request, {
    identity: ["versions", model.id],
    keyset: { columns: [versions.version], descending: true },
    rows: (executor, { after, order, limit }) =>
      executor.select().from(versions).where(and(ofModel, after)).orderBy(order).limit(limit),
    keyOf: (row) => [row.version],
    count: async (executor) => ({ totalSize: await executor.$count(versions, ofModel) }),
  });
  return { ...page, items: page.items.map((row) => toVersion(row)) };
}

/** See `Models.createVersion`. */
export async function createVersion(database: Database, modelId: string, wanted: NewVersion): Promise<Version> {
  return await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, modelId);
    await assertInStore(tx, wanted.files);
    const version = await findOrMakeVersion(tx, changes, model, wanted);
    // The version keeps them from now on; what else kept them for a while must not outlive it.
    await releaseBlobs(tx, [...new Set(wanted.files.map(({ digest }) => digest))]);
    return version;
  });
}

/** See `Models.updateVersion`. */
export async function updateVersion(
  database: Database,
  modelId: string,
  version: number,
  { pinned, labels }: VersionChanges,
  etag: string,
): Promise<Version> {
  return await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, modelId, "share");
    const row = await lockVersion(tx, model.id, version);
    assertEtag(`version ${version} of model '${model.id}'`, row, etag);
    const wanted = { pinned: pinned ?? row.pinned, labels: labels ?? row.labels };
    if (wanted.pinned === row.pinned && isDeepStrictEqual(wanted.labels, row.labels)) return toVersion(row);
    const [changed = row] = await tx
      .update(versions)
      .set({ ...wanted, revision: sql`${versions.revision} + 1`, updateTime: clock })
      .where(and(eq(versions.modelId, model.id), eq(versions.version, version)))
      .returning();
    const updated = toVersion(changed);
    changes.add("UPDATED", "version", updated);
    return updated;
  });
}

/** See `Models.deleteVersion`. */
export async function deleteVersion(database: Database, modelId: string, version: number, etag: string): Promise<void> {
  await database.transact(async (tx, changes) => {
    const model = await lockModel(tx, modelId);
    const row = await lockVersion(tx, model.id, version);
    assertEtag(`version ${version} of model '${model.id}'`, row, etag);
    await assertUnused(tx, model.id, version);
    await removeVersion(tx, changes, model, row);
  });
}

/** Deletes a locked version, which nothing uses, of a locked model. */
export async function removeVersion(
  tx: Transaction,
  changes: Changes,
  model: ModelRow,
  row: VersionRow,
): Promise<void> {
  await releaseBlobs(tx, await digestsOf(tx, model.id, row.version));
  await tx.delete(versions).where(and(eq(versions.modelId, model.id), eq(versions.version, row.version)));
  changes.add("DELETED", "version", toVersion(row));
  await changeModel(tx, changes, model, { status: await statusOf(tx, model.id, "REGISTERED") });
}

/** RESOURCE_IN_USE that names who uses the version. */
async function assertUnused(tx: Transaction, modelId: string, version: number): Promise<void> {
  const what = `version ${version} of model '${modelId}'`;
  const [alias] = await tx
    .select({ name: aliases.alias })
    .from(aliases)
    .where(and(eq(aliases.modelId, modelId), eq(aliases.version, version)))
    .orderBy(aliases.alias)
    .limit(1);
  if (alias !== undefined) {
    throw new DomainError("RESOURCE_IN_USE", `${what} is named by the alias '${alias.name}'`, {
      metadata: { alias: alias.name },
    });
  }
  const [assignment] = await tx
    .select({ id: assignments.id, workerId: assignments.workerId })
    .from(assignments)
    .where(and(eq(assignments.modelId, modelId), eq(assignments.version, version)))
    .orderBy(assignments.createTime)
    .limit(1);
  if (assignment !== undefined) {
    throw new DomainError("RESOURCE_IN_USE", `${what} is assigned to the worker '${assignment.workerId}'`, {
      metadata: { assignment_id: assignment.id, worker_id: assignment.workerId },
    });
  }
}
