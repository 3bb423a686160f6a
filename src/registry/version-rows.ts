import { and, desc, eq, getTableColumns, type InferSelectModel, sql } from "drizzle-orm";
import type { Digest } from "../domain/digest.ts";
import { DomainError } from "../domain/errors.ts";
import { sortFiles } from "../domain/manifest.ts";
import type { Version, VersionFile } from "../domain/model.ts";
import type { ModelRef } from "../domain/model-ref.ts";
import { aliasNotFound, isAlias } from "./alias-rows.ts";
import type { Executor, Transaction } from "./database.ts";
import { etagOf } from "./rows.ts";
import { aliases, versionFiles, versions } from "./schema/models.ts";

export type VersionRow = InferSelectModel<typeof versions>;

/** The files of a version as the database gathers them: path, size and digest of each. */
export type FilesJson = readonly (readonly [path: string, size: number, digest: Digest])[];

/** A version's files as one value, so that a version is read in one row. */
export const versionFilesField = sql<FilesJson | null>`(
  select jsonb_agg(jsonb_build_array(path, size, digest)) from version_files f
  where f.model_id = versions.model_id and f.version = versions.version)`;

const versionFields = { ...getTableColumns(versions), files: versionFilesField };

/** The version of a row, with files if they are given. */
export function toVersion(row: VersionRow, files?: FilesJson | null): Version {
  return {
    modelId: row.modelId,
    version: row.version,
    manifestDigest: row.manifestDigest,
    resolvedRevision: row.resolvedRevision,
    totalBytes: row.totalBytes,
    fileCount: row.fileCount,
    files: files ? sortFiles(files.map(([path, size, digest]): VersionFile => ({ path, size, digest }))) : undefined,
    metadata: row.metadata,
    license: row.license,
    pinned: row.pinned,
    labels: row.labels,
    createTime: row.createTime,
    updateTime: row.updateTime,
    etag: etagOf(row),
    damagedFiles: row.damagedFiles,
    lastUsedTime: row.lastUsedTime,
  };
}

/** VERSION_NOT_FOUND. */
export function versionNotFound(modelId: string, version?: number): DomainError {
  return version === undefined
    ? new DomainError("VERSION_NOT_FOUND", `model '${modelId}' has no version yet`, { metadata: { model_id: modelId } })
    : new DomainError("VERSION_NOT_FOUND", `model '${modelId}' has no version ${version}`, {
        metadata: { model_id: modelId, version: `${version}` },
      });
}

/** Locks a version's row for the rest of the transaction; VERSION_NOT_FOUND. */
export async function lockVersion(tx: Transaction, modelId: string, version: number): Promise<VersionRow> {
  const [row] = await tx
    .select()
    .from(versions)
    .where(and(eq(versions.modelId, modelId), eq(versions.version, version)))
    .for("update");
  if (row === undefined) throw versionNotFound(modelId, version);
  return row;
}

/** A version with its files as it is for the executor; VERSION_NOT_FOUND. */
export async function readVersion(executor: Executor, modelId: string, version: number): Promise<Version> {
  const [row] = await executor
    .select(versionFields)
    .from(versions)
    .where(and(eq(versions.modelId, modelId), eq(versions.version, version)));
  if (row === undefined) throw versionNotFound(modelId, version);
  return toVersion(row, row.files);
}

/** The blobs of a model's versions, or of one of them. */
export async function digestsOf(executor: Executor, modelId: string, version?: number): Promise<Digest[]> {
  const isMeant = version === undefined ? undefined : eq(versionFiles.version, version);
  const rows = await executor
    .select({ digest: versionFiles.digest })
    .from(versionFiles)
    .where(and(eq(versionFiles.modelId, modelId), isMeant));
  return [...new Set(rows.map(({ digest }) => digest))];
}

/** The number of the version that a reference to a locked model means; VERSION_NOT_FOUND, ALIAS_NOT_FOUND. */
export async function findVersion(tx: Transaction, { modelId, version, alias }: ModelRef): Promise<number> {
  if (alias !== undefined) {
    const [named] = await tx.select({ version: aliases.version }).from(aliases).where(isAlias(modelId, alias));
    if (named === undefined) throw aliasNotFound(modelId, alias);
    return named.version;
  }
  const isWanted = version === undefined ? undefined : eq(versions.version, version);
  const [found] = await tx
    .select({ version: versions.version })
    .from(versions)
    .where(and(eq(versions.modelId, modelId), isWanted))
    .orderBy(desc(versions.version))
    .limit(1);
  if (found === undefined) throw versionNotFound(modelId, version);
  return found.version;
}
